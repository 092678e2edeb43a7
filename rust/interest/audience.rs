//! Whom a message is for: a condition over the attributes of members, and tags for their filters.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::interest::expression::Expression;
use crate::interest::given::InterestFault;
use crate::interest::parse;
use crate::interest::value::Values;

/// Whom a message is for. Kept with it, in histories and between nodes.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Holds for the attributes of the members that get it; none: it has no condition.
    pub condition: Option<Expression>,
    /// The tags, over which filters of members decide.
    pub tags: Values,
    json: Box<[u8]>,
}

impl PartialEq for Audience {
    /// Whether they were given as the same text. Others may mean the same.
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for Audience {}

impl Audience {
    /// Reads an audience: a JSON object with `where` and `tags`, each optional.
    pub fn parse(json: &[u8]) -> Result<Arc<Self>, InterestFault> {
        let fault = |path: &str, text: &str| InterestFault { path: path.into(), text: text.into() };
        let Json::Object(fields) = parse::document(json)? else { return Err(fault("$", "must be an object")) };
        let (mut condition, mut tags) = (None, Values::new());
        for (name, json) in &fields {
            match name.as_str() {
                "where" => condition = Some(parse::expression_of(json, "$.where")?),
                "tags" => tags = parse::values_of(json, "$.tags")?,
                _ => return Err(fault("$", "may have `where` and `tags` only")),
            }
        }
        Ok(Arc::new(Self { condition, tags, json: json.into() }))
    }

    /// Returns it as it was given, for other nodes.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Returns the bytes that it is counted with, where messages are kept.
    pub fn size(&self) -> usize {
        // The text, and about twice as much for what was read from it.
        3 * self.json.len()
    }
}
