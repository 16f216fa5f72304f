//! Tests of resident memory: an idle node stays small, also after stalls were reported.

use std::{thread, time::Duration};

use super::node::Node;

/// What an idle node of two shards may keep resident, and may have had resident since it began.
const IDLE_MIB_MAX: u64 = 64;
#[test]
fn an_idle_node_is_small_after_it_reported_stalls() {
    // Every poll that takes a microsecond is a stall to this node.
    let node = Node::start("idle-memory", &["--stall-us", "1"]);
    node.wait_until("a stall with the names of its stack", || {
        node.ask();
        node.trace().contains("::") && node.trace().contains(" [0x")
    });
    thread::sleep(Duration::from_secs(1));
    for field in ["VmRSS:", "VmHWM:"] {
        let mib = node.mib(field);
        assert!(mib <= IDLE_MIB_MAX, "{field} {mib} MiB\n{}", node.trace());
    }
}
