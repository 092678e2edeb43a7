//! The tokens by which clients say who they are, made beforehand by `tokens.py`. Not their making, and not what is in
//! them: no key ever comes here.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

/// Lists of tokens by what is the matter with them: `valid`, `forged` and so on.
#[derive(Debug, Clone, Default)]
pub struct Tokens(BTreeMap<String, Rc<[String]>>);

impl Tokens {
    /// The lists of a JSON file, a map of lists.
    ///
    /// # Errors
    /// The operator's: there is no such file, or it is not such a map.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("the tokens in {}", path.display()))?;
        let lists: BTreeMap<String, Vec<String>> =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is no map of lists", path.display()))?;
        Ok(Self(lists.into_iter().map(|(name, list)| (name, list.into())).collect()))
    }

    /// The list of this name; empty when there is none.
    #[must_use]
    pub fn of(&self, name: &str) -> Rc<[String]> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}
