//! The statement that makes a source, from its parts.

use std::fmt;

use datafusion_sql::sqlparser::ast;

use super::{CreateSource, SourceColumn, quoted, quoted_part};

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl fmt::Display for SourceColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", quoted_part(&self.name), self.data_type)?;
        if let Some(path) = &self.path {
            let parts = path.iter().map(|part| format!("\"{part}\""));
            let path = parts.collect::<Vec<_>>().join(".");
            write!(f, " PATH {}", literal(&path))?;
        }
        if let Some(metadata) = &self.metadata {
            write!(f, " METADATA FROM {}", literal(metadata))?;
        }
        Ok(())
    }
}

impl fmt::Display for CreateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        if let Some(watermark) = &self.watermark {
            let column = quoted_part(&watermark.column);
            let behind = match &watermark.delay {
                ast::Expr::Value(_) => String::new(),
                delay => format!(" - {delay}"),
            };
            parts.push(format!("WATERMARK FOR {column} AS {column}{behind}"));
        }
        write!(
            f,
            "CREATE SOURCE {} FROM TOPIC {}",
            quoted(&self.name),
            literal(&self.topic),
        )?;
        if !parts.is_empty() {
            write!(f, " ({})", parts.join(", "))?;
        }
        write!(f, " FORMAT {}", self.format)?;
        if !self.options.is_empty() {
            let options = self.options.iter();
            let options = options.map(|(name, value)| format!("{name} = {}", literal(value)));
            write!(f, " WITH ({})", options.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}
