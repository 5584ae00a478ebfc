//! When PostgreSQL plans a statement that is kept prepared: each time, or once for a while.
//!
//! A small batch and a look-up take longer to plan than to carry out, so a connection keeps the plans of these. But a plan
//! suits the tables as they were when it was made: of a table that was nearly empty it would rather read all, and does so
//! for as long as it is kept, while the table grows. PostgreSQL makes it anew once autovacuum has analyzed the table, up to
//! minutes later.

use std::time::{Duration, Instant};

use diesel::{PgConnection, QueryResult, connection::SimpleConnection};

/// What makes a connection forget its plans.
pub(super) const FORGET: &str = "DISCARD PLANS; ";

/// Other processes make tables grow too.
const LAST: Duration = Duration::from_secs(1);
/// At most so many rows more than there were may be read in vain.
const RECORDS: usize = 10_000;

/// How old the plans are that a connection keeps.
#[derive(Debug)]
pub(super) struct KeptPlans {
    made: Instant,
    records: usize,
}

impl KeptPlans {
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            records: 0,
        }
    }

    /// What a batch of so many records begins with.
    pub(super) fn before_batch(&mut self, records: usize) -> String {
        let forget = if self.are_too_old(records) { FORGET } else { "" };
        [forget, "SET LOCAL plan_cache_mode = force_generic_plan; "].concat()
    }

    /// Whether plans are to be made anew before so many more records are written.
    pub(super) fn are_too_old(&mut self, records: usize) -> bool {
        let too_old = self.records >= RECORDS || self.made.elapsed() >= LAST;
        if too_old {
            *self = Self::new();
        }
        self.records = self.records.saturating_add(records);
        too_old
    }
}

/// How the statements of a connection are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// For the numbers at hand.
    EachTime,
    /// By index alone, and kept for a while: to plan a look-up takes ten times as long as to carry it out.
    Kept,
}

impl Plans {
    /// Has the connection plan so from now on.
    pub(super) fn set(self, conn: &mut PgConnection) -> QueryResult<()> {
        conn.batch_execute(match self {
            Self::EachTime => {
                "SET plan_cache_mode = force_custom_plan; RESET enable_seqscan; RESET enable_hashjoin; \
                 RESET enable_mergejoin"
            }
            Self::Kept => {
                "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
                 SET enable_mergejoin = off"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diesel::{
        QueryableByName, RunQueryDsl, sql_query,
        sql_types::{BigInt, Text},
    };

    use super::*;
    use crate::{
        clock::SystemClock,
        domain::LearnerId,
        store::{StoreError, Tx, api_reads, testing::postgres},
    };

    #[derive(QueryableByName)]
    struct Planned {
        #[diesel(sql_type = BigInt)]
        once: i64,
        #[diesel(sql_type = BigInt)]
        each_time: i64,
        #[diesel(sql_type = BigInt)]
        pages: i64,
        #[diesel(sql_type = Text)]
        whole: String,
    }

    /// How often the look-up of a learner ran by either kind of plan, how many pages of learners were asked for, and whether
    /// tables may be read whole.
    fn planned(tx: &mut Tx<'_>) -> Result<Planned, StoreError> {
        let planned = "SELECT coalesce(sum(generic_plans), 0)::bigint AS once, \
                       coalesce(sum(custom_plans), 0)::bigint AS each_time, \
                       pg_stat_get_xact_blocks_fetched('learner'::regclass) AS pages, \
                       current_setting('enable_seqscan') AS whole \
                       FROM pg_prepared_statements WHERE statement LIKE '/* learner_by_username%'";
        Ok(sql_query(planned).get_result(tx.conn)?)
    }

    fn find(tx: &mut Tx<'_>) -> Result<Planned, StoreError> {
        let before = planned(tx)?.pages;
        let found = api_reads::learner_by_username(tx, "user7")?;
        let after = planned(tx)?;
        assert!(found.is_none_or(|id| id == LearnerId(7)));
        Ok(Planned {
            pages: after.pages - before,
            ..after
        })
    }

    #[test]
    fn a_look_up_is_planned_once_on_an_empty_table_and_finds_its_row_by_index_in_a_full_one() {
        let Some(database) = postgres() else { return };
        let store = database.another(Arc::new(SystemClock), 1);
        store.look_up("test", find).expect("read");
        let filled = store.transaction("test", |tx| {
            let learners =
                "INSERT INTO learner (learner_id, username) SELECT n, 'user' || n FROM generate_series(1, 5000) n";
            Ok(sql_query(learners).execute(tx.conn)?)
        });
        assert_eq!(filled.expect("filled"), 5000);
        let found = store.look_up("test", find).expect("read");
        assert_eq!((found.once, found.each_time, found.whole.as_str()), (2, 0, "off"));
        assert!(found.pages <= 2, "{} pages", found.pages);

        for number in 1..=2 {
            let others = if number == 1 {
                store.read("test", find)
            } else {
                store.transaction("test", find)
            };
            let others = others.expect("read");
            assert_eq!(
                (others.once, others.each_time, others.whole.as_str()),
                (2, number, "on")
            );
        }
        assert_eq!(store.look_up("test", find).expect("read").once, 3);
    }

    #[test]
    fn plans_are_kept_for_a_second_or_ten_thousand_records() {
        let mut plans = KeptPlans::new();
        assert!(!plans.are_too_old(RECORDS));
        assert!(plans.are_too_old(1));
        assert!(!plans.are_too_old(1));
        plans.made -= LAST;
        assert!(plans.are_too_old(1));
        assert!(!plans.are_too_old(1));
    }
}
