//! What happens when the group gives partitions to this consumer or takes them.
//!
//! Where a partition starts is decided here, in the callback, and handed to librdkafka with the
//! assignment itself: no record is fetched from anywhere else first, and there is nothing to seek.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use super::TopicPartition;
use super::status::State;

/// How long to wait for the group's committed offsets on an assignment.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the leaders of the partitions that are kept: longer than one of them keeps a fetch waiting, behind
/// which it answers.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the owner of a consumer is asked and told when partitions move.
///
/// All is called on the thread that polls, from inside a poll (and, when the consumer closes, on
/// the thread that closes it). It must not panic, and must return well within
/// `max.poll.interval.ms`.
pub trait ConsumerEvents: Send + Sync + 'static {
    /// The next offset of each of these partitions as far as the database knows it: one past the
    /// last record whose work is durable. A partition it does not know is left out.
    ///
    /// A partition starts at the lower of this and the committed offset; at its beginning when
    /// either is missing, for the work is idempotent and a database without a position is new.
    /// `None` says that the database cannot be asked now: the committed offset alone decides.
    fn start_offsets(&self, assigned: &[TopicPartition]) -> Option<HashMap<TopicPartition, i64>>;

    /// These partitions go away. `lost` says that another member may hold them already; otherwise
    /// stored offsets are committed right after this returns.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool);
}

/// rdkafka's context for a group consumer.
pub(super) struct GroupContext {
    pub(super) events: Box<dyn ConsumerEvents>,
    pub(super) state: Arc<State>,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.state.observer.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.state.statistics(statistics);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.state.observer.error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions);
            }
            _ => self.revoke(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) => {}
            Err(error) if is_nothing_to_commit(&error) => {}
            // The next batch commits a later offset, and whoever reads again finds the work done.
            Err(error) => debug!("offsets were not committed: {error}"),
        }
    }
}

impl GroupContext {
    fn assign(&self, consumer: &BaseConsumer<Self>, given: &TopicPartitionList) {
        let partitions = list(given);
        let start = self.start(consumer, given, &partitions);
        let is_incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = match is_incremental {
            true => consumer.incremental_assign(&start),
            false => consumer.assign(&start),
        };
        if let Err(error) = result {
            warn!("an assignment failed: {error}");
            return;
        }
        if is_incremental
            && !self.state.paused.load(Ordering::Relaxed)
            && let Err(error) = read_on(consumer, &partitions)
        {
            debug!("what is kept is read on a second later: {error}");
        }
        self.state.given(&partitions);
        self.state.observer.answered();
        if !partitions.is_empty() {
            let paused = self.state.paused.load(Ordering::Relaxed);
            // librdkafka keeps the pause of a partition that was taken, and would not read it when it comes back.
            let set = if paused {
                consumer.pause(&start)
            } else {
                consumer.resume(&start)
            };
            if let Err(error) = set {
                warn!("partitions that were given could not be paused or resumed: {error}");
            }
            info!(kafka.partitions = readable(&start), "partitions assigned");
        }
    }

    /// The same partitions with the offsets they start at.
    fn start(
        &self,
        consumer: &BaseConsumer<Self>,
        given: &TopicPartitionList,
        partitions: &[TopicPartition],
    ) -> TopicPartitionList {
        let mut start = TopicPartitionList::with_capacity(partitions.len());
        if partitions.is_empty() {
            return start;
        }
        let database = self.events.start_offsets(partitions);
        let committed = consumer
            .committed_offsets(given.clone(), COMMITTED_TIMEOUT)
            .inspect_err(|error| warn!("committed offsets are not known: {error}"))
            .ok();
        for partition in partitions {
            let (topic, number) = partition;
            let committed = committed
                .as_ref()
                .and_then(|list| list.find_partition(topic, *number))
                .map_or(Committed::Unknown, |element| {
                    match (element.error(), element.offset()) {
                        (Err(_), _) => Committed::Unknown,
                        (Ok(()), Offset::Offset(offset)) => Committed::At(offset),
                        (Ok(()), _) => Committed::Nowhere,
                    }
                });
            let database = database.as_ref().map(|offsets| offsets.get(partition).copied());
            start
                .add_partition(topic, *number)
                .set_offset(start_offset(committed, database))
                .expect("no start offset is negative");
        }
        start
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, taken: &TopicPartitionList) {
        let partitions = list(taken);
        let lost = consumer.assignment_lost();
        self.events.revoked(&partitions, lost);
        if !lost && !partitions.is_empty() {
            match consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(()) => {}
                Err(error) if is_nothing_to_commit(&error) => {}
                Err(error) => warn!("offsets were not committed on revocation: {error}"),
            }
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(taken),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            warn!("a revocation failed: {error}");
        }
        self.state.taken(&partitions);
        info!(
            kafka.partitions = readable(taken),
            kafka.lost = lost,
            "partitions revoked"
        );
    }
}

/// Lets librdkafka read on at once in the partitions that are kept.
///
/// It pauses them while the application is told of an incremental change, throws away what it had fetched, and resumes them
/// without telling the thread of their broker, which then sleeps for a whole second (`rd_kafka_max_block_ms`). Whatever
/// is asked of the leaders wakes it.
fn read_on(consumer: &BaseConsumer<GroupContext>, given: &[TopicPartition]) -> KafkaResult<()> {
    let mut kept = TopicPartitionList::new();
    for (topic, partition) in list(&consumer.assignment()?) {
        if !given.contains(&(topic.clone(), partition)) {
            kept.add_partition_offset(&topic, partition, Offset::End)?;
        }
    }
    if kept.count() > 0 {
        // They are not paused by us: this only waits until librdkafka's own resumption has come to pass.
        consumer.resume(&kept)?;
        consumer.offsets_for_times(kept, LEADERS_TIMEOUT)?;
    }
    Ok(())
}

/// What Kafka knows of the group's offset in a partition.
#[derive(Debug, Clone, Copy)]
enum Committed {
    At(i64),
    Nowhere,
    Unknown,
}

/// Where a partition starts. `database` is `None` when it could not be asked, `Some(None)` when it
/// has no position. An offset outside the log starts at the beginning, by
/// `auto.offset.reset=earliest`: the topic was made anew, or retention overtook the group.
fn start_offset(committed: Committed, database: Option<Option<i64>>) -> Offset {
    match (committed, database.map(|offset| offset.filter(|o| *o >= 0))) {
        (Committed::At(committed), None) => Offset::Offset(committed),
        (Committed::At(committed), Some(Some(database))) => Offset::Offset(committed.min(database)),
        (Committed::Unknown, Some(Some(database))) => Offset::Offset(database),
        // librdkafka asks for the committed offset itself, for as long as it takes.
        (Committed::Unknown, None) => Offset::Invalid,
        (_, Some(None)) | (Committed::Nowhere, _) => Offset::Beginning,
    }
}

/// No offset was stored since the last commit.
pub(super) fn is_nothing_to_commit(error: &ClientError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset)
}

fn list(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// Partitions for a log, such as `a: 0@beginning 1@7; b: 0`; those without an offset stand alone.
fn readable(partitions: &TopicPartitionList) -> String {
    let mut topics: BTreeMap<String, BTreeMap<i32, Offset>> = BTreeMap::new();
    for ((topic, number), offset) in partitions.to_topic_map() {
        topics.entry(topic).or_default().insert(number, offset);
    }
    let one = |(number, offset): (&i32, &Offset)| match offset {
        Offset::Beginning => format!("{number}@beginning"),
        Offset::Offset(offset) => format!("{number}@{offset}"),
        _ => number.to_string(),
    };
    let topic = |(name, partitions): (&String, &BTreeMap<i32, Offset>)| {
        let partitions: Vec<String> = partitions.iter().map(one).collect();
        format!("{name}: {}", partitions.join(" "))
    };
    topics.iter().map(topic).collect::<Vec<String>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_in_order() {
        let mut partitions = TopicPartitionList::new();
        let _ = partitions.add_partition("b", 10);
        for (number, offset) in [(2, Offset::Beginning), (0, Offset::Offset(7))] {
            let mut added = partitions.add_partition("a", number);
            added.set_offset(offset).expect("no negative offset");
        }
        assert_eq!(readable(&partitions), "a: 0@7 2@beginning; b: 10");
        assert_eq!(readable(&TopicPartitionList::new()), "");
    }

    #[test]
    fn a_partition_starts_where_nothing_can_be_missed() {
        use Committed::{At, Nowhere, Unknown};
        for (committed, database, expected) in [
            (At(5), Some(Some(3)), Offset::Offset(3)),
            (At(5), Some(Some(9)), Offset::Offset(5)),
            (At(5), Some(None), Offset::Beginning),
            (At(5), None, Offset::Offset(5)),
            (At(5), Some(Some(-1)), Offset::Beginning),
            (Nowhere, Some(Some(9)), Offset::Beginning),
            (Nowhere, Some(None), Offset::Beginning),
            (Nowhere, None, Offset::Beginning),
            (Unknown, Some(Some(9)), Offset::Offset(9)),
            (Unknown, Some(None), Offset::Beginning),
            (Unknown, None, Offset::Invalid),
        ] {
            assert_eq!(
                start_offset(committed, database),
                expected,
                "{committed:?} {database:?}"
            );
        }
    }
}
