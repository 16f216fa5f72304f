//! Tests of the pools: classes, alignment, foreign frees, thread exit.

use super::*;
use crate::{Buf, BufMut};
use std::sync::mpsc;

#[test]
fn capacity_and_alignment_follow_the_class() {
    for (asked, capacity) in [
        (0, 512),
        (1, 512),
        (512, 512),
        (513, 1024),
        (4096, 4096),
        (4097, 8192),
        (300 * 1024, 512 * 1024),
        (1 << 20, 1 << 20),
        ((1 << 20) + 1, (1 << 20) + 4096),
        (HUGE_BYTES, HUGE_BYTES),
        (HUGE_BYTES + 1, HUGE_BYTES + 4096),
        (3_000_000, 3_002_368),
    ] {
        let buf = BufMut::with_capacity(asked);
        assert_eq!(buf.capacity(), capacity, "asked for {asked}");
        let align = ALIGN.min(capacity);
        assert_eq!(buf.as_ptr() as usize % align, 0, "asked for {asked}");
    }
}

#[test]
fn huge_blocks_are_aligned_to_their_size_and_hold_it() {
    let mut buffers: Vec<BufMut> = (0..3).map(|_| BufMut::with_capacity(HUGE_BYTES)).collect();
    for (i, buffer) in buffers.iter_mut().enumerate() {
        if cfg!(not(miri)) {
            assert_eq!(buffer.as_ptr() as usize % HUGE_BYTES, 0);
        }
        buffer.set_len(HUGE_BYTES);
        buffer.fill(i as u8);
    }
    for (i, buffer) in buffers.iter().enumerate() {
        assert_eq!(buffer[0], i as u8);
        assert_eq!(buffer[HUGE_BYTES - 1], i as u8);
    }
}

#[test]
fn memory_is_counted_and_reused() {
    std::thread::spawn(|| {
        let before = pool_stats();
        let buf = BufMut::with_capacity(9000);
        let at = buf.as_ptr();
        assert_eq!(pool_stats().used_bytes, before.used_bytes + 16384);
        drop(buf);
        assert_eq!(pool_stats().used_bytes, before.used_bytes);
        assert_eq!(BufMut::with_capacity(9000).as_ptr(), at);
        let large = BufMut::with_capacity(5 << 20);
        assert_eq!(pool_stats().used_bytes, before.used_bytes + (5 << 20));
        drop(large);
        assert_eq!(pool_stats().used_bytes, before.used_bytes);
    })
    .join()
    .expect("the thread passes");
}

#[test]
fn blocks_of_one_class_never_overlap() {
    let mut bufs: Vec<BufMut> = (0..600).map(|_| BufMut::with_capacity(512)).collect();
    for (i, buf) in bufs.iter_mut().enumerate() {
        buf.set_len(512);
        buf.fill(i as u8);
    }
    for (i, buf) in bufs.iter().enumerate() {
        assert!(buf.iter().all(|b| *b == i as u8));
    }
}

#[test]
fn foreign_drops_come_home() {
    std::thread::spawn(|| {
        let before = pool_stats();
        let bufs: Vec<Buf> = (0..100).map(|i| Buf::copy_from_slice(&[i; 700])).collect();
        assert!(pool_stats().used_bytes > before.used_bytes);
        std::thread::spawn(move || {
            for (i, buf) in bufs.iter().enumerate() {
                assert!(buf.iter().all(|b| *b == i as u8));
            }
        })
        .join()
        .expect("the thread passes");
        let after = pool_stats();
        assert_eq!(after.used_bytes, before.used_bytes);
        assert_eq!(after.foreign_frees, before.foreign_frees + 100);
    })
    .join()
    .expect("the thread passes");
}

#[test]
fn memory_outlives_its_thread() {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for bytes in [600, 5000, 300 * 1024, 2 << 20] {
            let mut buf = BufMut::with_capacity(bytes);
            buf.set_len(bytes);
            buf.fill(7);
            sender.send(buf.freeze()).expect("the receiver waits");
        }
    })
    .join()
    .expect("the thread passes");
    // Another thread adopts the pool and must not be given what is still in use.
    std::thread::spawn(|| {
        for bytes in [600, 5000, 300 * 1024, 2 << 20] {
            let mut buf = BufMut::with_capacity(bytes);
            buf.set_len(bytes);
            buf.fill(9);
        }
    })
    .join()
    .expect("the thread passes");
    for buf in receiver {
        assert!(buf.iter().all(|b| *b == 7));
    }
}

#[test]
fn large_blocks_are_not_hoarded() {
    std::thread::spawn(|| {
        let bufs: Vec<BufMut> = (0..40).map(|_| BufMut::with_capacity(1 << 20)).collect();
        let peak = pool_stats().reserved_bytes;
        drop(bufs);
        let kept = pool_stats().reserved_bytes;
        assert!(peak - kept >= (40 << 20) - KEPT_BYTES_MAX as u64);
    })
    .join()
    .expect("the thread passes");
}

#[test]
fn many_threads_share_and_drop() {
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let (sender, receiver) = mpsc::channel::<Buf>();
    let readers = std::thread::spawn(move || receiver.iter().map(|b| b.len()).sum::<usize>());
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for i in 0..rounds {
                    let buf = Buf::copy_from_slice(&[1; 1000]);
                    sender.send(buf.slice(0..i % 1000)).expect("alive");
                    assert_eq!(buf[999], 1);
                }
            })
        })
        .collect();
    drop(sender);
    for writer in writers {
        writer.join().expect("the thread passes");
    }
    let expected: usize = (0..rounds).map(|i| i % 1000).sum::<usize>() * 3;
    assert_eq!(readers.join().expect("the thread passes"), expected);
}
