//! The name of the table, quoted so that any name is a name and never more.

use std::fmt;

use crate::error::Error;

/// PostgreSQL cuts a longer identifier off, and two could become one.
const LONGEST: usize = 63;

/// A table, and the schema that it is in if one was chosen.
#[derive(Debug)]
#[expect(unnameable_types, reason = "part of the sealed trait `Statements`")]
pub struct Table {
    quoted: String,
}

impl Table {
    pub(super) fn new(schema: Option<&str>, table: &str) -> Result<Self, Error> {
        let table = quote("table", table)?;
        let quoted = match schema {
            Some(schema) => format!("{}.{table}", quote("schema", schema)?),
            None => table,
        };
        Ok(Table { quoted })
    }
}

fn quote(what: &str, name: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() > LONGEST || name.contains('\0') {
        return Err(Error::invalid_input(format!(
            "a {what} name has 1 to {LONGEST} bytes and no NUL character; this one has {} bytes",
            name.len()
        )));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// The quoted name, as it stands in a statement.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_stays_a_name() {
        let table = Table::new(Some("a b"), r#"t"; DROP TABLE users; --"#).unwrap();
        assert_eq!(table.to_string(), r#""a b"."t""; DROP TABLE users; --""#);
        for name in ["", "a\0b", &"x".repeat(64)] {
            assert!(Table::new(None, name).unwrap_err().is_invalid_input());
            assert!(Table::new(Some(name), "t").unwrap_err().is_invalid_input());
        }
        Table::new(None, &"x".repeat(63)).unwrap();
    }
}
