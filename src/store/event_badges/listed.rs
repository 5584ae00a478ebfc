//! Configurations in lists, the newest first.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use super::{Configuration, Row, configuration};
use crate::store::{StoreError, Tx, api_reads::Window};

/// How many configurations there are.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(configuration::table.count().get_result(tx.conn)?)
}

/// A part of the configurations.
pub fn page(tx: &mut Tx<'_>, window: Window) -> Result<Vec<Configuration>, StoreError> {
    let rows = configuration::table
        .order(configuration::id.desc())
        .offset(window.start)
        .limit(window.length)
        .select(Row::as_select())
        .load(tx.conn)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Every configuration.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<Configuration>, StoreError> {
    let all = Window {
        start: 0,
        length: i64::MAX,
    };
    page(tx, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::event_badges::ConfigurationTexts,
        store::{
            event_badges::{NewConfiguration, insert},
            testing,
        },
    };

    #[test]
    fn a_page_is_a_part_of_the_list() {
        for database in testing::databases() {
            let run = |tx: &mut Tx<'_>| {
                let new = NewConfiguration {
                    texts: ConfigurationTexts::default(),
                    enabled: false,
                    changed_by: "root".to_owned(),
                };
                let ids = (0..5).map(|_| insert(tx, &new)).collect::<Result<Vec<_>, _>>()?;
                let newest: Vec<_> = ids.into_iter().rev().collect();
                let ids_from = |tx: &mut Tx<'_>, start| -> Result<Vec<i32>, StoreError> {
                    let found = page(tx, Window { start, length: 2 })?;
                    Ok(found.into_iter().map(|found| found.id).collect())
                };
                assert_eq!(count(tx)?, 5);
                assert_eq!(ids_from(tx, 0)?, newest[..2]);
                assert_eq!(ids_from(tx, 2)?, newest[2..4]);
                assert_eq!(ids_from(tx, 4)?, newest[4..]);
                assert!(ids_from(tx, 5)?.is_empty());
                assert_eq!(list(tx)?.len(), 5);
                Ok(())
            };
            database.store().transaction("test", run).expect("committed");
        }
    }
}
