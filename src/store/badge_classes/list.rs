//! Badge classes by what they are known by, in parts.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use super::Row;
use crate::{
    domain::badge_class::BadgeClass,
    store::{StoreError, Tx, api_reads::Window, connection::MultiBackend, schema::badge_class},
};

/// Which badge classes are meant; what is `None` may be anything.
#[derive(Debug, Clone, Default)]
pub struct BadgeClassFilter {
    /// Slug.
    pub slug: Option<String>,
    /// Issuing component.
    pub issuing_component: Option<String>,
    /// Course key, `""` for none.
    pub course_id: Option<String>,
}

type Boxed<'a> = badge_class::BoxedQuery<'a, MultiBackend>;

impl BadgeClassFilter {
    fn query(&self) -> Boxed<'_> {
        let mut query = badge_class::table.into_boxed();
        if let Some(slug) = &self.slug {
            query = query.filter(badge_class::slug.eq(slug));
        }
        if let Some(component) = &self.issuing_component {
            query = query.filter(badge_class::issuing_component.eq(component));
        }
        if let Some(course) = &self.course_id {
            query = query.filter(badge_class::course_id.eq(course));
        }
        query
    }
}

/// How many there are.
pub fn count(tx: &mut Tx<'_>, filter: &BadgeClassFilter) -> Result<i64, StoreError> {
    Ok(filter.query().count().get_result(tx.conn)?)
}

/// A part of them, ordered by what they are known by.
pub fn page(tx: &mut Tx<'_>, filter: &BadgeClassFilter, window: Window) -> Result<Vec<BadgeClass>, StoreError> {
    let rows: Vec<Row> = filter
        .query()
        .order((
            badge_class::issuing_component,
            badge_class::slug,
            badge_class::course_id,
        ))
        .offset(window.start)
        .limit(window.length)
        .select(Row::as_select())
        .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}
