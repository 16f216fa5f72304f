//! Tests of rows that other threads look up.

use std::{sync::Arc, time::Duration};

use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
use runtime::sim::{Sim, SimConfig};

use super::*;
use crate::engine::arrangement::tests::{delta, schema};

const ACCOUNTS: i64 = 500;

/// All accounts' balances.
fn balances(views: &Views) -> Option<Vec<i64>> {
    let accounts: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ACCOUNTS));
    let found = views.lookup("accounts", &[0], &[accounts])?;
    let RowsOf::View(rows) = &found.rows["accounts"] else {
        panic!("a view has rows");
    };
    let mut balances = Vec::new();
    for rows in rows.batches() {
        let columns = [0, 1].map(|at| rows.column(at).as_primitive::<Int64Type>());
        let [accounts, of] = columns.map(|column| column.values().to_vec());
        balances.extend(accounts.into_iter().zip(of));
    }
    // They come as they lie.
    balances.sort_unstable();
    Some(balances.into_iter().map(|(_, balance)| balance).collect())
}

/// The balance of one account, found where it lies.
fn balance(views: &Views, account: i64) -> Option<i64> {
    let key: ArrayRef = Arc::new(Int64Array::from(vec![account]));
    let found = views.find("accounts", &[0], &[key])?;
    let found = found.expect("no account goes");
    let of = |column| found.rows.column(column).as_primitive::<Int64Type>();
    assert_eq!((of(0).value(found.at), found.weight), (account, 1));
    Some(of(1).value(found.at))
}

#[test]
fn another_thread_sees_whole_epochs() {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let views = Arc::new(Views::default());
    let rows = SharedRows::new(Arrangement::new(schema(), Some(&[0])));
    views.put("accounts", &rows);
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (views, is_over) = (views.clone(), is_over.clone());
        move || {
            let mut answers = 0;
            while !is_over.load(Ordering::SeqCst) {
                let Some(found) = balances(&views) else {
                    continue;
                };
                assert_eq!(found.len() as i64, ACCOUNTS);
                assert_eq!(found.iter().sum::<i64>(), 0);
                balance(&views, answers % ACCOUNTS);
                answers += 1;
            }
            answers
        }
    });
    let changes = async move {
        let mut now = vec![0; ACCOUNTS as usize];
        let all: Vec<_> = (0..ACCOUNTS).map(|account| (account, 0, 1)).collect();
        let mut first = rows.read().prepare(&delta(&all));
        rows.change(|rows| rows.apply(&mut first, 1))
            .await
            .expect("they are new");
        let mut epoch = 1;
        views.open(epoch);
        let mut shown = balances(&views).expect("all of them");
        for _ in 0..500 {
            // What one part takes from an account the other gives to its neighbour.
            let mut parts = [Vec::new(), Vec::new()];
            for account in 0..ACCOUNTS as usize / 2 {
                let amount = (runtime::random_u64() % 9) as i64;
                for (part, account, amount) in
                    [(0, account * 2, -amount), (1, account * 2 + 1, amount)]
                {
                    parts[part].push((account as i64, now[account], -1));
                    now[account] += amount;
                    parts[part].push((account as i64, now[account], 1));
                }
            }
            let mut prepared = parts.map(|part| rows.read().prepare(&delta(&part)));
            for change in &mut prepared {
                while rows.change(|rows| rows.stage(change)).await {
                    assert_eq!(balances(&views), Some(shown.clone()), "staged");
                }
            }
            epoch += 1;
            for change in &mut prepared {
                while rows
                    .change(|rows| rows.apply_some(change, epoch))
                    .await
                    .expect("what goes is there")
                {
                    assert_eq!(balances(&views), Some(shown.clone()), "applied in part");
                }
                assert_eq!(balances(&views), Some(shown.clone()), "not shown yet");
                let account = epoch as usize % shown.len();
                let found = balance(&views, account as i64);
                assert_eq!(found, Some(shown[account]), "nor one alone");
                std::thread::yield_now();
            }
            views.show(epoch);
            shown = balances(&views).expect("they are found all the time");
            while rows.tidy_some().await {
                assert_eq!(balances(&views), Some(shown.clone()), "tidied in part");
            }
        }
        rows.end();
        assert!(balances(&views).is_none(), "they are gone for good");
    };
    let ended = sim.run_on(node, Duration::from_secs(60), changes);
    is_over.store(true, Ordering::SeqCst);
    let answers = reader.join().expect("the reader sees whole epochs");
    assert!(ended.is_some() && answers > 0, "{answers}");
}
