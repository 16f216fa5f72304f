//! The one table of requests: key, versions, handler.

use crate::{
    api,
    request::{LocalFuture, Reply, RequestContext, RequestError},
};

/// Handles one request; see `request` for when it may return.
pub type Handler = fn(RequestContext) -> LocalFuture<Result<Reply, RequestError>>;

/// A request this node knows.
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    /// Advertised, and answered from `answered_min` on.
    pub version_min: i16,
    pub version_max: i16,
    /// Versions below it are advertised only because old feature detection looks for them; they are refused.
    pub answered_min: i16,
    pub handler: Handler,
}

macro_rules! apis {
    ($($module:ident $key:literal $name:literal $min:literal..=$max:literal $(from $answered:literal)?;)*) => {
        /// Every request this node answers, by key.
        pub static APIS: &[Api] = &[
            $(Api {
                key: $key,
                name: $name,
                version_min: $min,
                version_max: $max,
                answered_min: apis!(@answered $min $(, $answered)?),
                handler: |context| Box::pin(api::$module::handle(context)),
            },)*
        ];
    };
    (@answered $min:literal) => { $min };
    (@answered $min:literal, $answered:literal) => { $answered };
}

apis! {
    produce 0 "Produce" 0..=13 from 3;
    fetch 1 "Fetch" 4..=18;
    list_offsets 2 "ListOffsets" 1..=11;
    metadata 3 "Metadata" 0..=13;
    offset_commit 8 "OffsetCommit" 2..=10;
    offset_fetch 9 "OffsetFetch" 1..=10;
    find_coordinator 10 "FindCoordinator" 0..=6;
    join_group 11 "JoinGroup" 0..=9;
    heartbeat 12 "Heartbeat" 0..=4;
    leave_group 13 "LeaveGroup" 0..=5;
    sync_group 14 "SyncGroup" 0..=5;
    describe_groups 15 "DescribeGroups" 0..=6;
    list_groups 16 "ListGroups" 0..=5;
    api_versions 18 "ApiVersions" 0..=4;
    create_topics 19 "CreateTopics" 2..=7;
    delete_topics 20 "DeleteTopics" 1..=6;
    delete_records 21 "DeleteRecords" 0..=2;
    init_producer_id 22 "InitProducerId" 0..=5;
    offset_for_leader_epoch 23 "OffsetForLeaderEpoch" 2..=4;
    describe_configs 32 "DescribeConfigs" 1..=4;
    alter_configs 33 "AlterConfigs" 0..=2;
    describe_log_dirs 35 "DescribeLogDirs" 1..=4;
    create_partitions 37 "CreatePartitions" 0..=3;
    delete_groups 42 "DeleteGroups" 0..=2;
    incremental_alter_configs 44 "IncrementalAlterConfigs" 0..=1;
    offset_delete 47 "OffsetDelete" 0..=0;
    describe_cluster 60 "DescribeCluster" 0..=2;
    describe_producers 61 "DescribeProducers" 0..=0;
    list_config_resources 74 "ListConfigResources" 0..=1;
    describe_topic_partitions 75 "DescribeTopicPartitions" 0..=0;
}

/// The entry of a key.
#[must_use]
pub fn api(key: i16) -> Option<&'static Api> {
    let at = APIS.binary_search_by_key(&key, |api| api.key);
    Some(&APIS[at.ok()?])
}

/// Position of a key in `APIS`, for counters.
#[must_use]
pub fn api_index(key: i16) -> Option<usize> {
    APIS.binary_search_by_key(&key, |api| api.key).ok()
}

#[cfg(test)]
mod tests;
