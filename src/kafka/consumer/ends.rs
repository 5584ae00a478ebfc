//! Where partitions end.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::super::{KafkaError, TopicPartition};
use super::Consumer;

const ENDS: &str = "ask for the ends of the partitions";
/// How long each question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Consumer {
    /// One past the last record of each partition of the topics that are read, whoever holds it, as the brokers say now.
    ///
    /// # Errors
    /// When they do not say it of each, or not in time.
    pub fn ends(&self) -> Result<HashMap<TopicPartition, i64>, KafkaError> {
        let failed = |error| KafkaError::of(ENDS, error);
        let mut asked = TopicPartitionList::new();
        for name in &self.topics {
            let metadata = self.inner.fetch_metadata(Some(name), TIMEOUT).map_err(failed)?;
            for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
                let added = asked.add_partition_offset(name, partition.id(), Offset::End);
                added.map_err(failed)?;
            }
        }
        if asked.count() == 0 {
            return Ok(HashMap::new());
        }
        let said = self.inner.offsets_for_times(asked, TIMEOUT).map_err(failed)?;
        let end = |said: &TopicPartitionListElem<'_>| match said.offset() {
            Offset::Offset(end) => Ok(((said.topic().to_owned(), said.partition()), end)),
            _ => Err(KafkaError::TimedOut { operation: ENDS }),
        };
        said.elements().iter().map(end).collect()
    }
}
