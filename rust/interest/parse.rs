//! Reads expressions and values from JSON, with the place of what is wrong. docs/interest.md describes the form.

use serde_json::Value as Json;

use crate::interest::expression::Expression;
use crate::interest::given::{InterestFault, NamedReader, ValueReader, check_name, fault, shown};
use crate::interest::value::{Few, Value, Values};

/// Reads an expression.
pub fn expression(json: &[u8]) -> Result<Expression, InterestFault> {
    expression_of(&document(json)?, "$")
}

/// Reads named values: a JSON object of values and of lists of values. Null and empty lists are names without values.
pub fn values(json: &[u8]) -> Result<Values, InterestFault> {
    values_of(&document(json)?, "$")
}

pub(super) fn document(json: &[u8]) -> Result<Json, InterestFault> {
    if json.len() > BYTES {
        return Err(fault("$", format!("must have at most {BYTES} bytes as JSON, got {}", json.len())));
    }
    serde_json::from_slice(json).map_err(|error| fault("$", format!("is no JSON document: {error}")))
}

pub(super) fn values_of(json: &Json, path: &str) -> Result<Values, InterestFault> {
    let Json::Object(fields) = json else { return Err(fault(path, "must be an object of names and values")) };
    let mut reader = NamedReader::new(path, fields.len())?;
    for (name, json) in fields {
        let values = match json {
            Json::Null => Few::default(),
            Json::Array(list) => {
                let list = list.iter().enumerate();
                let list = list.map(|(place, json)| reader.value(name, Some(place), json.into()));
                list.collect::<Result<Vec<_>, _>>()?.into()
            }
            json => Few::One(reader.value(name, None, json.into())?),
        };
        reader.put(name, values)?;
    }
    Ok(reader.end())
}

pub(super) fn expression_of(json: &Json, path: &str) -> Result<Expression, InterestFault> {
    ExpressionReader { nodes: 0, values: ValueReader::default() }.expression(json, path, 0)
}

struct ExpressionReader {
    nodes: usize,
    values: ValueReader,
}

impl ExpressionReader {
    fn expression(&mut self, json: &Json, path: &str, depth: usize) -> Result<Expression, InterestFault> {
        let Json::Object(fields) = json else { return Err(fault(path, "must be an object")) };
        if fields.is_empty() {
            return Err(fault(path, "must have a name, or `and`, `or` or `not`"));
        }
        let mut parts = Vec::with_capacity(fields.len());
        for (name, json) in fields {
            let path = format!("{path}.{}", shown(name));
            self.nodes += 1;
            if self.nodes > NODES {
                return Err(fault(&path, format!("is one more than the {NODES} conditions that are allowed")));
            }
            if depth >= DEPTH {
                return Err(fault(&path, format!("is nested deeper than {DEPTH} levels")));
            }
            parts.push(match name.as_str() {
                "and" => Expression::And(self.parts(json, &path, depth)?),
                "or" => Expression::Or(self.parts(json, &path, depth)?),
                "not" => Expression::Not(Box::new(self.expression(json, &path, depth + 1)?)),
                name => self.condition(name, json, &path)?,
            });
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts.into()) })
    }

    fn parts(&mut self, json: &Json, path: &str, depth: usize) -> Result<Box<[Expression]>, InterestFault> {
        let Json::Array(list) = json else { return Err(fault(path, "must be a list of expressions")) };
        if list.is_empty() {
            return Err(fault(path, "must not be empty"));
        }
        list.iter()
            .enumerate()
            .map(|(place, json)| self.expression(json, &format!("{path}[{place}]"), depth + 1))
            .collect()
    }

    fn condition(&mut self, name: &str, json: &Json, path: &str) -> Result<Expression, InterestFault> {
        check_name(name, || path.to_owned())?;
        let Json::Object(fields) = json else {
            return Ok(any(name, vec![self.value(json, path)?]));
        };
        let mut fields = fields.iter();
        match (fields.next(), fields.next()) {
            (Some((operator, json)), None) => {
                let path = format!("{path}.{}", shown(operator));
                match operator.as_str() {
                    "eq" => Ok(any(name, vec![self.value(json, &path)?])),
                    "in" => Ok(any(name, self.values(json, &path)?)),
                    "range" => self.range(name, json, &path),
                    _ => Err(fault(&path, "is no operator; the operators are `eq`, `in` and `range`")),
                }
            }
            _ => Err(fault(path, "must have one operator: `eq`, `in` or `range`")),
        }
    }

    fn range(&mut self, name: &str, json: &Json, path: &str) -> Result<Expression, InterestFault> {
        let Some([low, high]) = json.as_array().map(Vec::as_slice) else {
            return Err(fault(path, "must be a list of two numbers, where null means no bound"));
        };
        let mut bound = |json: &Json, place| match (json, self.value(json, &format!("{path}[{place}]"))) {
            (Json::Null, _) => Ok(None),
            (_, Ok(Value::Number(number))) => Ok(Some(number)),
            (_, Ok(_)) => Err(fault(&format!("{path}[{place}]"), "must be a number or null")),
            (_, Err(fault)) => Err(fault),
        };
        let (low, high) = (bound(low, 0)?, bound(high, 1)?);
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            return Err(fault(path, "holds for no number, because its first bound is above its second"));
        }
        Ok(Expression::Range(name.into(), low, high))
    }

    fn values(&mut self, json: &Json, path: &str) -> Result<Vec<Value>, InterestFault> {
        let Json::Array(list) = json else { return Err(fault(path, "must be a list of values")) };
        list.iter().enumerate().map(|(place, json)| self.value(json, &format!("{path}[{place}]"))).collect()
    }

    fn value(&mut self, json: &Json, path: &str) -> Result<Value, InterestFault> {
        self.values.value(json.into(), || path.to_owned())
    }
}

fn any(name: &str, mut values: Vec<Value>) -> Expression {
    values.sort_unstable();
    values.dedup();
    Expression::Any(name.into(), values.into())
}

/// The most conditions of an expression, `and`, `or` and `not` included. One takes about 20 ns for each message.
const NODES: usize = 64;

/// The most levels of `and`, `or` and `not`.
const DEPTH: usize = 8;

/// The most bytes of a document. The limits above imply less.
const BYTES: usize = 512 << 10;
