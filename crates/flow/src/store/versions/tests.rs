//! Pieces of a version, in a database that is a map.

use std::{
    collections::BTreeMap,
    ops::Bound,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use super::*;

#[derive(Default)]
struct Map {
    values: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Of the largest piece.
    piece_bytes: Mutex<usize>,
}

impl Ordered for Map {
    const NAME: &'static str = "map";

    fn path(&self) -> &str {
        "map"
    }

    fn get(&self, names: &[Vec<u8>], take: &mut dyn FnMut(Option<Vec<u8>>) -> bool) -> Done<()> {
        let values = self.values.lock().expect("one thread");
        let mut names = names.iter();
        names.all(|name| take(values.get(name).cloned()));
        Ok(())
    }

    fn range(
        &self,
        prefix: &[u8],
        from: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Done<()> {
        let values = self.values.lock().expect("one thread");
        let from = (Bound::Included(from.to_vec()), Bound::Unbounded);
        let mut found = values.range(from);
        found.all(|(name, value)| name.starts_with(prefix) && take(name, value));
        Ok(())
    }

    fn apply(&self, piece: Piece) -> Done<()> {
        let bytes = piece.iter().map(|(name, value)| {
            let value = value.as_ref().map_or(0, Vec::len);
            name.len() + value
        });
        let mut most = self.piece_bytes.lock().expect("one thread");
        *most = bytes.sum::<usize>().max(*most);
        let mut values = self.values.lock().expect("one thread");
        for (name, value) in piece {
            match value {
                Some(value) => values.insert(name, value),
                None => values.remove(&name),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Done<()> {
        Ok(())
    }
}

#[test]
fn what_entries_were_counts_in_a_piece() {
    const COUNT: u32 = 64;
    let work = Work(Arc::new(Map::default()));
    let changes = |value: Option<&[u8]>| {
        let mut changes = Changes::new(false);
        for key in 0..COUNT {
            let key = StateKey {
                node: NodeId(0),
                table: 1,
                key: &key.to_be_bytes(),
            };
            changes.put(key, value);
        }
        let collected = pin!(changes.collected());
        match collected.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(collected) => collected,
            Poll::Pending => unreachable!("all of it has been put"),
        }
    };
    let large = vec![7; PIECE_BYTES / 4];
    let put = changes(Some(&large));
    work.write(1, None, 1, &put).expect("a map takes it");
    work.write(1, Some(1), 2, &changes(None))
        .expect("a map takes it");
    let (entries, _) = work.read(1, Some(2), &prefix(1, ENTRY)).expect("version 2");
    assert!(entries.is_empty());
    let was = work.read(1, Some(1), &prefix(1, ENTRY)).expect("version 1");
    assert_eq!(was.0[0].1, large);
    let most = *work.0.piece_bytes.lock().expect("one thread");
    assert!(most < 3 * PIECE_BYTES, "a piece of {most} bytes");
}
