//! Statements: which one it is, and the clauses of `SELECT`.

use sqlparser::ast as grammar;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::ast::{Delete, Explained, Item, Name, Order, Select, Show, ShowKind, Statement};
use super::convert::Converter;
use super::position::TextMap;
use crate::limits::{SQL_BYTES, SQL_DEPTH, SQL_TOKENS};
use crate::query::error::{QueryError, SqlPosition};

/// Parses one statement. A semicolon may follow it.
pub fn parse(text: &str) -> Result<Statement, QueryError> {
    if text.len() > SQL_BYTES {
        return Err(QueryError::TooLarge {
            what: "bytes of text",
            limit: SQL_BYTES,
        });
    }
    let map = TextMap::new(text);
    let dialect = PostgreSqlDialect {};
    let mut tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| QueryError::Syntax {
            message: error.message,
            at: map.locate(error.location),
        })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    check_size(&tokens)?;
    let end = map.end();
    let parser = Parser::new(&dialect)
        .with_recursion_limit(SQL_DEPTH)
        .with_tokens_with_locations(tokens);
    Statements { parser, map, end }.statement()
}

/// Long lists are fine, but every other token may deepen a tree that is dropped recursively.
fn check_size(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let deepening = tokens
        .iter()
        .filter(|token| {
            !matches!(
                token.token,
                Token::Comma | Token::Number(..) | Token::SingleQuotedString(_)
            )
        })
        .count();
    if deepening > SQL_TOKENS {
        return Err(QueryError::TooLarge {
            what: "words and operators",
            limit: SQL_TOKENS,
        });
    }
    Ok(())
}

struct Statements<'a> {
    parser: Parser<'a>,
    map: TextMap,
    end: SqlPosition,
}

impl Statements<'_> {
    fn statement(mut self) -> Result<Statement, QueryError> {
        let first = self.parser.peek_token();
        let statement = match word(&first).as_str() {
            "select" => Statement::Select(Box::new(self.select()?)),
            "explain" => {
                self.parser.next_token();
                let mut next = self.parser.peek_token();
                let mut explained = Explained::Plan;
                if word(&next) == "analyze" {
                    self.parser.next_token();
                    next = self.parser.peek_token();
                    explained = Explained::Execution;
                }
                match word(&next).as_str() {
                    "select" => Statement::Explain(Box::new(self.select()?), explained),
                    _ => return Err(self.expected("SELECT", &next)),
                }
            }
            "show" => {
                self.parser.next_token();
                Statement::Show(self.show()?)
            }
            "delete" => {
                self.parser.next_token();
                Statement::Delete(self.delete()?)
            }
            "drop" => {
                self.parser.next_token();
                let token = self.parser.next_token();
                if word(&token) != "measurement" {
                    return Err(self.expected("MEASUREMENT", &token));
                }
                Statement::Drop(self.measurement()?)
            }
            _ => return Err(self.expected("SELECT, SHOW, EXPLAIN, DELETE or DROP", &first)),
        };
        while self.parser.consume_token(&Token::SemiColon) {}
        let behind = self.parser.peek_token();
        if behind.token != Token::EOF {
            return Err(self.expected("the end of the statement", &behind));
        }
        Ok(statement)
    }

    fn show(&mut self) -> Result<Show, QueryError> {
        let token = self.parser.next_token();
        let kind = match word(&token).as_str() {
            "databases" => ShowKind::Databases,
            "measurements" => ShowKind::Measurements,
            "series" => ShowKind::Series,
            "tags" => ShowKind::Tags,
            "fields" => ShowKind::Fields,
            "schema" => ShowKind::Schema,
            _ => {
                let choices = "DATABASES, MEASUREMENTS, SERIES, TAGS, FIELDS or SCHEMA";
                return Err(self.expected(choices, &token));
            }
        };
        let takes_from = !matches!(kind, ShowKind::Databases | ShowKind::Measurements);
        let from = if takes_from && self.parser.parse_keyword(Keyword::FROM) {
            Some(self.measurement()?)
        } else {
            None
        };
        Ok(Show { kind, from })
    }

    fn delete(&mut self) -> Result<Delete, QueryError> {
        let token = self.parser.next_token();
        if word(&token) != "from" {
            return Err(self.expected("FROM", &token));
        }
        let from = self.measurement()?;
        let token = self.parser.next_token();
        if word(&token) != "where" {
            return Err(self.expected("WHERE", &token));
        }
        let start = self.parser.peek_token();
        let at = self.place(&start);
        let filter = self
            .parser
            .parse_expr()
            .map_err(|error| self.syntax(error))?;
        let filter = Converter::new(&self.map, at).expr(filter)?;
        Ok(Delete { from, filter })
    }

    fn measurement(&mut self) -> Result<Name, QueryError> {
        let token = self.parser.next_token();
        let Token::Word(name) = &token.token else {
            return Err(self.expected("a measurement", &token));
        };
        Ok(Name {
            text: name.value.clone(),
            at: self.place(&token),
        })
    }

    fn select(&mut self) -> Result<Select, QueryError> {
        let start = self.parser.peek_token();
        let at = self.place(&start);
        let query = self
            .parser
            .parse_query()
            .map_err(|error| self.syntax(error))?;
        let converter = Converter::new(&self.map, at);
        convert_query(&converter, *query)
    }

    fn place(&self, token: &TokenWithSpan) -> SqlPosition {
        if token.token == Token::EOF {
            self.end
        } else {
            self.map.locate(token.span.start)
        }
    }

    fn expected(&self, what: &str, found: &TokenWithSpan) -> QueryError {
        let message = match &found.token {
            Token::EOF => format!("expected {what}, found the end"),
            token => format!("expected {what}, found `{token}`"),
        };
        QueryError::Syntax {
            message,
            at: self.place(found),
        }
    }

    /// The parser puts the place at the end of its message: ` at Line: 1, Column: 8`.
    fn syntax(&self, error: ParserError) -> QueryError {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                return QueryError::TooLarge {
                    what: "levels of nesting",
                    limit: SQL_DEPTH,
                };
            }
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        };
        let (message, at) = match text.rsplit_once(" at Line: ") {
            Some((message, place)) => (message, self.parse_place(place)),
            None => (text.as_str(), self.end),
        };
        let message = message
            .replacen("Expected: ", "expected ", 1)
            .replacen(", found: EOF", ", found the end", 1)
            .replacen(", found: ", ", found ", 1);
        QueryError::Syntax { message, at }
    }

    fn parse_place(&self, place: &str) -> SqlPosition {
        let numbers = place
            .split_once(", Column: ")
            .and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
        match numbers {
            Some((line, column)) if line > 0 => self.map.position(line, column),
            _ => self.end,
        }
    }
}

/// An unquoted word in lower case; nothing for any other token.
fn word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
        _ => String::new(),
    }
}

fn convert_query(converter: &Converter<'_>, query: grammar::Query) -> Result<Select, QueryError> {
    let refuse = |present: bool, what: &str| {
        if present {
            Err(converter.unsupported(what))
        } else {
            Ok(())
        }
    };
    refuse(query.with.is_some(), "WITH is")?;
    refuse(query.fetch.is_some(), "FETCH is")?;
    refuse(!query.locks.is_empty(), "FOR UPDATE is")?;
    refuse(query.for_clause.is_some(), "FOR is")?;
    refuse(query.settings.is_some(), "SETTINGS is")?;
    refuse(query.format_clause.is_some(), "FORMAT is")?;
    refuse(!query.pipe_operators.is_empty(), "|> is")?;
    let grammar::SetExpr::Select(select) = *query.body else {
        return Err(converter.unsupported("anything but one SELECT (UNION, VALUES, subqueries) is"));
    };
    let distinct = match select.distinct {
        None | Some(grammar::Distinct::All) => false,
        Some(grammar::Distinct::Distinct) => true,
        Some(grammar::Distinct::On(_)) => return Err(converter.unsupported("DISTINCT ON is")),
    };
    refuse(select.top.is_some(), "TOP is")?;
    refuse(select.into.is_some(), "INTO is")?;
    refuse(select.exclude.is_some(), "EXCLUDE is")?;
    refuse(!select.lateral_views.is_empty(), "LATERAL VIEW is")?;
    refuse(select.prewhere.is_some(), "PREWHERE is")?;
    refuse(!select.connect_by.is_empty(), "CONNECT BY is")?;
    refuse(!select.cluster_by.is_empty(), "CLUSTER BY is")?;
    refuse(!select.distribute_by.is_empty(), "DISTRIBUTE BY is")?;
    refuse(!select.sort_by.is_empty(), "SORT BY is")?;
    refuse(!select.named_window.is_empty(), "WINDOW is")?;
    refuse(select.qualify.is_some(), "QUALIFY is")?;

    let mut from = select.from;
    refuse(from.len() > 1, "more than one measurement after FROM is")?;
    let Some(table) = from.pop() else {
        return Err(converter.meaning("FROM and a measurement are missing"));
    };
    refuse(!table.joins.is_empty(), "JOIN is")?;
    let from = converter.measurement(table.relation)?;

    let items = select
        .projection
        .into_iter()
        .map(|item| convert_item(converter, item))
        .collect::<Result<Vec<_>, _>>()?;
    let group_by = match select.group_by {
        grammar::GroupByExpr::Expressions(exprs, modifiers) => {
            refuse(!modifiers.is_empty(), "a modifier of GROUP BY is")?;
            converter.exprs(exprs)?
        }
        grammar::GroupByExpr::All(_) => {
            return Err(converter.unsupported("GROUP BY ALL is"));
        }
    };
    let order_by = match query.order_by.map(|order| order.kind) {
        None => Vec::new(),
        Some(grammar::OrderByKind::All(_)) => {
            return Err(converter.unsupported("ORDER BY ALL is"));
        }
        Some(grammar::OrderByKind::Expressions(exprs)) => exprs
            .into_iter()
            .map(|order| convert_order(converter, order))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let (limit, offset) = match query.limit_clause {
        None => (None, 0),
        Some(grammar::LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) => {
            refuse(!limit_by.is_empty(), "LIMIT BY is")?;
            let limit = limit.map(|expr| converter.count(expr)).transpose()?;
            let offset = offset.map(|offset| converter.count(offset.value));
            (limit, offset.transpose()?.unwrap_or(0))
        }
        Some(grammar::LimitClause::OffsetCommaLimit { offset, limit }) => {
            (Some(converter.count(limit)?), converter.count(offset)?)
        }
    };
    Ok(Select {
        distinct,
        items,
        from,
        filter: converter.optional(select.selection)?,
        group_by,
        having: converter.optional(select.having)?,
        order_by,
        limit,
        offset,
    })
}

fn convert_item(converter: &Converter<'_>, item: grammar::SelectItem) -> Result<Item, QueryError> {
    match item {
        grammar::SelectItem::UnnamedExpr(expr) => Ok(Item::Expr(converter.expr(expr)?, None)),
        grammar::SelectItem::ExprWithAlias { expr, alias } => {
            let alias = converter.name(alias);
            Ok(Item::Expr(converter.expr(expr)?, Some(alias)))
        }
        grammar::SelectItem::Wildcard(options) => Ok(Item::Wildcard(
            converter.place(options.wildcard_token.0.span.start),
        )),
        _ => Err(converter.unsupported("this form of a selected item is")),
    }
}

fn convert_order(
    converter: &Converter<'_>,
    order: grammar::OrderByExpr,
) -> Result<Order, QueryError> {
    if order.with_fill.is_some() {
        return Err(converter.unsupported("WITH FILL is"));
    }
    let descending = match order.options.sort {
        None | Some(grammar::OrderBySort::Asc) => false,
        Some(grammar::OrderBySort::Desc) => true,
        Some(grammar::OrderBySort::Using(_)) => {
            return Err(converter.unsupported("ORDER BY .. USING is"));
        }
    };
    Ok(Order {
        expr: converter.expr(order.expr)?,
        descending,
        nulls_first: order.options.nulls_first,
    })
}
