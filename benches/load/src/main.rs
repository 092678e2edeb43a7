//! `fanwire-load`: one thread, one CPU, thousands of WebSocket connections, one scenario, one JSON object on standard
//! output. Not a server, and not the runner that starts servers: that is `run.py`.

use anyhow::{Context, Result};
use clap::Parser;
use fanwire_load::machine;
use fanwire_load::scenario::Scenario;

/// Load client for servers of the target contract (see benches/load/README.md).
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    machine::raise_files().context("the limit of open files")?;
    if let Some(cpu) = cli.scenario.common().cpu {
        machine::pin(cpu).with_context(|| format!("CPU {cpu}"))?;
    }
    let found = cli.scenario.run()?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}
