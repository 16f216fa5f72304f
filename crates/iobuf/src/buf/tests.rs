//! Tests of single buffers: views, uniqueness, appending under readers.

use super::*;

#[test]
fn a_buffer_grows_and_freezes() {
    let mut buf = BufMut::with_capacity(10);
    for i in 0..100u8 {
        buf.extend_from_slice(&[i; 100]);
    }
    assert_eq!(buf.len(), 10_000);
    let buf = buf.freeze();
    assert_eq!(buf[9_999], 99);
    assert_eq!(buf.slice(100..200)[..], [1; 100]);
    assert_eq!(buf.slice(..0).len(), 0);
    assert_eq!(buf.slice(9_999..)[..], [99]);
}

#[test]
fn slice_ref_finds_the_part() {
    let buf = Buf::copy_from_slice(b"hello world").slice(2..);
    let part = &buf[4..9];
    assert_eq!(&buf.slice_ref(part)[..], part);
    assert_eq!(buf.slice_ref(part).as_ptr(), part.as_ptr());
    assert!(buf.slice_ref(&[]).is_empty());
}

#[test]
#[should_panic(expected = "out of bounds")]
fn slice_ref_refuses_foreign_bytes() {
    let buf = Buf::copy_from_slice(b"hello world");
    let part = buf.slice(4..).to_vec();
    let whole = Buf::from(vec![0; 5000]);
    // One of the two is behind the other in memory, whichever way round they lie.
    if part.as_ptr() > buf.as_ptr() {
        let _ = buf.slice_ref(&part);
    }
    let _ = whole.slice(0..5001);
}

#[test]
fn only_the_last_view_becomes_writable() {
    let buf = Buf::copy_from_slice(b"abcdef");
    let view = buf.slice(2..4);
    let buf = buf.try_into_mut().expect_err("a view is alive");
    drop(buf);
    let mut again = view.try_into_mut().expect("the only view");
    assert_eq!(&again[..], b"cd");
    assert_eq!(again.capacity(), 510);
    again[0] = b'x';
    assert_eq!(&again.freeze()[..], b"xd");
}

#[test]
fn vectors_are_adopted() {
    for len in [1, 10, 4096, 4097, 100_000] {
        let vector = vec![3u8; len];
        let at = vector.as_ptr();
        let buf = Buf::from(vector);
        assert_eq!(buf.len(), len);
        assert_eq!(buf.as_ptr() == at, len > 4096);
        let view = buf.slice(len / 2..);
        drop(buf);
        assert!(view.iter().all(|b| *b == 3));
        assert_eq!(view.try_into_mut().is_ok(), len <= 4096);
    }
}

#[test]
fn readers_see_what_was_appended_while_filling_goes_on() {
    let mut staging = AppendBuf::with_capacity(8192);
    let first = staging.append(&[b"head", b"body"]);
    let reader = std::thread::spawn(move || {
        assert_eq!(&first[..], b"headbody");
        first
    });
    let second = staging.append(&[b"more"]);
    staging.pad_to(4096);
    assert_eq!(staging.len(), 4096);
    assert_eq!(staging.remaining(), 4096);
    let page = staging.view(0..4096);
    assert_eq!(&page[..12], b"headbodymore");
    assert!(page[12..].iter().all(|b| *b == 0));
    assert_eq!(&second[..], b"more");
    assert_eq!(page.as_ptr() as usize % 4096, 0);
    drop(staging);
    assert_eq!(reader.join().expect("passes"), page.slice(0..8));
}

#[test]
#[should_panic(expected = "append beyond the capacity")]
fn appending_beyond_the_end_is_refused() {
    AppendBuf::with_capacity(512).append(&[&[0; 513]]);
}

#[test]
#[should_panic(expected = "not filled")]
fn viewing_beyond_the_filled_part_is_refused() {
    let mut staging = AppendBuf::with_capacity(512);
    staging.append(&[&[0; 5]]);
    staging.view(0..6);
}
