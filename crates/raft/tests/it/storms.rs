//! Wake storms: a node dies that leads a thousand groups asleep, and all of them wake at once.

use raft::{Role, Settings};
use raft_sim::group::Group;

const GROUPS: u64 = 1000;

#[test]
fn a_dead_node_wakes_its_groups_without_a_storm() {
    let settings = Settings::default();
    let mut groups: Vec<Group> = (0..GROUPS)
        .map(|jitter| {
            let mut group = Group::new(3, jitter, settings);
            group.elect();
            for _ in 0..200 {
                tick(&mut group);
            }
            assert!(group.replicas.iter().all(|replica| !replica.is_awake()));
            group.messages = 0;
            group.dead[0] = true;
            for at in [1, 2] {
                let leader = group.replicas[0].id();
                group.with(at, |replica, _| replica.on_liveness(leader, false));
            }
            group
        })
        .collect();
    let led = |group: &Group| {
        let leads = |at: &usize| group.replicas[*at].role() == Role::Leader;
        [1, 2].iter().any(leads)
    };
    let mut elected = 0;
    for tick_count in 1..=6 * settings.election_ticks {
        groups.iter_mut().for_each(tick);
        let now = groups.iter().filter(|group| led(group)).count();
        // Ten ticks of jitter and two candidates: no tick may see more than a third of all.
        assert!(
            now - elected <= GROUPS as usize / 3,
            "{} in tick {tick_count}",
            now - elected
        );
        elected = now;
    }
    assert_eq!(elected, GROUPS as usize);
    let messages = groups.iter().map(|group| group.messages).sum::<u64>() / GROUPS;
    eprintln!("{messages} messages a group");
    assert!(messages < 100, "{messages} messages a group");
}

fn tick(group: &mut Group) {
    for at in 0..group.replicas.len() {
        if !group.dead[at] {
            group.with(at, |replica, out| replica.tick(out));
        }
    }
    group.settle();
}
