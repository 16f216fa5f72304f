//! Programs as they are started: threads, sockets and files as they are.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{examples::counting::app, node::Node};

const LIMIT: Duration = Duration::from_secs(60);

fn pages(pages: &[&str]) -> Vec<String> {
    pages.iter().map(|page| (*page).to_owned()).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("a file can be copied")),
        }
    }
}

#[test]
fn a_program_runs_until_another_copy_takes_over() {
    let node = Node::start("programs");
    // What `start` gives answers while the app runs; its state is there at the next start.
    let running = app().start(node.cluster("state")).expect("it starts");
    node.produce(pages(&["a", "b", "a"]));
    running.flush().expect("it is up to date");
    let rows: usize = running
        .table("visits_by_page")
        .expect("it is there")
        .iter()
        .map(|rows| rows.num_rows())
        .sum();
    assert_eq!(rows, 2);
    let locked = app().start(node.cluster("state")).map(drop);
    let locked = locked.expect_err("the directory has its copy").to_string();
    assert!(locked.contains("in use by another process"), "{locked}");
    drop(running);
    copy(&node.dir.join("state"), &node.dir.join("moved"));

    let cluster = node.cluster("state");
    let program = thread::spawn(move || app().run(cluster));
    node.produce(pages(&["a"]));
    assert_eq!(node.counts("a", 3), [1, 2, 3]);
    assert!(!program.is_finished(), "it runs on");

    let moved = app().start(node.cluster("moved")).expect("it starts");
    node.produce(pages(&["a", "a"]));
    moved.flush().expect("it is up to date");
    let since = Instant::now();
    while !program.is_finished() {
        assert!(since.elapsed() < LIMIT, "the older copy does not stop");
        thread::sleep(Duration::from_millis(50));
    }
    let ended = program.join().expect("it does not panic");
    let ended = ended.expect_err("it was stopped").to_string();
    assert!(
        ended.contains("another copy of this app has taken over"),
        "{ended}"
    );
    assert_eq!(node.counts("a", 5), [1, 2, 3, 4, 5], "each is told once");
}
