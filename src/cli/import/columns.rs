//! Which column of a CSV file is what: time, tags, fields.

use csv::ByteRecord;

use super::infer::Inferred;
use crate::types::FieldType;

/// `--field NAME=COLUMN[:TYPE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Name of the field.
    pub name: String,
    /// Column it comes from.
    pub column: String,
    /// Its type, where it is not to be inferred.
    pub field_type: Option<FieldType>,
}

/// A tag of all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSpec {
    /// Name and value.
    Fixed(String, String),
    /// The column that gives name and value.
    Column(String),
}

impl TagSpec {
    /// The tag's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Fixed(name, _) | Self::Column(name) => name,
        }
    }
}

/// A field and its column.
#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub column: usize,
    pub column_name: String,
    pub field_type: Option<FieldType>,
}

/// The columns of one file.
#[derive(Debug)]
pub(super) struct Columns {
    pub count: usize,
    pub time: usize,
    /// Column of each tag that has one, in the order of the tags.
    pub tags: Vec<usize>,
    pub fields: Vec<Field>,
}

impl Columns {
    /// Finds the columns by their names. The error is the rest of a message.
    pub(super) fn find(
        header: &[String],
        time: &str,
        tags: &[TagSpec],
        fields: &[FieldSpec],
    ) -> Result<Self, String> {
        let column = |name: &str| {
            header
                .iter()
                .position(|column| column == name)
                .ok_or_else(|| format!("no column `{name}`; the columns are {}", header.join(", ")))
        };
        let time = column(time)?;
        let tags = tags.iter().filter_map(|tag| match tag {
            TagSpec::Fixed(..) => None,
            TagSpec::Column(name) => Some(column(name)),
        });
        let tags = tags.collect::<Result<Vec<usize>, _>>()?;
        let fields = if fields.is_empty() {
            let rest = header.iter().enumerate();
            let rest = rest.filter(|(index, _)| *index != time && !tags.contains(index));
            rest.map(|(index, name)| Field {
                name: name.clone(),
                column: index,
                column_name: name.clone(),
                field_type: None,
            })
            .collect()
        } else {
            let fields = fields.iter().map(|field| {
                Ok::<_, String>(Field {
                    name: field.name.clone(),
                    column: column(&field.column)?,
                    column_name: field.column.clone(),
                    field_type: field.field_type,
                })
            });
            fields.collect::<Result<Vec<_>, _>>()?
        };
        if fields.is_empty() {
            return Err(
                "no column is left to be a field; the file needs one beside time and tags"
                    .to_owned(),
            );
        }
        Ok(Self {
            count: header.len(),
            time,
            tags,
            fields,
        })
    }

    /// Gives a type to every field that has none.
    pub(super) fn set_types(&mut self, inferred: &mut Inferred, sample: &[ByteRecord]) {
        for field in &mut self.fields {
            if field.field_type.is_none() {
                let values = sample.iter().filter_map(|record| record.get(field.column));
                field.field_type = Some(inferred.column(&field.column_name, values));
            }
        }
    }
}

/// Takes `NAME=VALUE`.
pub(super) fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("not NAME=VALUE; write for example site=roof".to_owned()),
    }
}

/// Takes `NAME=COLUMN[:TYPE]`. What stands behind the last colon is a type only if it is the name of one.
pub(super) fn parse_field(text: &str) -> Result<FieldSpec, String> {
    let wrong = || "not NAME=COLUMN[:TYPE]; write for example temperature=temp:float".to_owned();
    let (name, column) = text.split_once('=').ok_or_else(wrong)?;
    let (column, field_type) = match column.rsplit_once(':') {
        Some((before, after)) => match FieldType::from_name(after) {
            Some(FieldType::Binary) => {
                return Err("binary values cannot be imported; use string".to_owned());
            }
            Some(field_type) => (before, Some(field_type)),
            None => (column, None),
        },
        None => (column, None),
    };
    if name.is_empty() || column.is_empty() {
        return Err(wrong());
    }
    Ok(FieldSpec {
        name: name.to_owned(),
        column: column.to_owned(),
        field_type,
    })
}
