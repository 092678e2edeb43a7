//! What interest takes: moving a member, finding the members of nine cells, and the filters that a message passes.
//!
//! `cargo bench --bench interest` takes less than a minute.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use fanwire::interest::{Audience, RoomInterest, expression, values};
use fanwire::slots::{ConnId, Ids};

const MEMBERS: usize = 10_000;
const CELLS: usize = 1_000;

fn members() -> Vec<ConnId> {
    let mut ids = Ids::new(0);
    (0..MEMBERS).map_while(|_| ids.take()).collect()
}

fn audience(json: &str) -> Arc<Audience> {
    Audience::parse(json.as_bytes()).expect("a bench with a wrong audience measures nothing")
}

fn attributes(bench: &mut Criterion) {
    let all = members();
    let mut interest = RoomInterest::default();
    let cell = |cell: usize| values(format!(r#"{{"cell":{cell}}}"#).as_bytes()).expect("a right document");
    for (place, &conn) in all.iter().enumerate() {
        interest.change(conn, cell(place % CELLS));
        interest.change(conn, values(br#"{"team":"red"}"#).expect("a right document"));
    }
    let cells: Vec<_> = (0..CELLS).map(cell).collect();
    let mut turn = 0;
    bench.bench_function("interest/move a member", |bench| {
        bench.iter(|| {
            turn += 1;
            interest.change(all[turn % MEMBERS], black_box(cells[turn * 7 % CELLS].clone()));
        });
    });
    let near = audience(r#"{"where":{"cell":{"in":[1,2,3,4,5,6,7,8,9]}}}"#);
    bench.bench_function("interest/members of 9 cells", |bench| {
        bench.iter(|| black_box(interest.select(Some(&near))));
    });
    let others = audience(r#"{"where":{"cell":{"in":[1,2,3,4,5,6,7,8,9]},"not":{"team":"red"}}}"#);
    bench.bench_function("interest/members of 9 cells, not of a team", |bench| {
        bench.iter(|| black_box(interest.select(Some(&others))));
    });
    let none = audience(r#"{"where":{"not":{"team":"red"}}}"#);
    bench.bench_function("interest/a look at every member", |bench| {
        bench.iter(|| black_box(interest.select(Some(&none))));
    });
    bench.bench_function("interest/parse where", |bench| {
        bench.iter(|| Audience::parse(black_box(br#"{"where":{"cell":{"in":[1,2,3,4,5,6,7,8,9]}}}"#)));
    });
}

fn filters(bench: &mut Criterion) {
    let all = members();
    for distinct in [10, MEMBERS] {
        let mut interest = RoomInterest::default();
        for (place, &conn) in all.iter().enumerate() {
            let symbols: Vec<_> = (0..20).map(|n| format!(r#""s{}""#, (place % distinct + n * 37) % 500)).collect();
            let json = format!(r#"{{"symbol":{{"in":[{}]}},"venue":{}}}"#, symbols.join(","), place % distinct);
            let filter = Arc::new(expression(json.as_bytes()).expect("a right filter"));
            interest.filter(conn, Some(&filter), all.iter().copied());
        }
        let tags = audience(r#"{"tags":{"symbol":"s42","venue":7,"price":1.5}}"#);
        bench.bench_function(&format!("interest/tags against {distinct} filters"), |bench| {
            bench.iter(|| black_box(interest.select(Some(&tags))));
        });
    }
}

criterion_group!(benches, attributes, filters);
criterion_main!(benches);
