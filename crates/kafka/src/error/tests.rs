//! Tests of the error code table.

use super::ErrorCode;

#[test]
fn the_table_is_dense_and_finds_every_code() {
    for (at, code) in ErrorCode::all().enumerate() {
        assert_eq!(code.code(), at as i16 - 1);
        assert_eq!(ErrorCode::from_i16(code.code()), Some(code));
        assert!(!code.name().is_empty());
        assert_eq!(code.message().is_empty(), code == ErrorCode::None);
    }
    assert_eq!(ErrorCode::from_i16(i16::MAX), None);
    assert_eq!(ErrorCode::from_i16(-2), None);
    assert_eq!(ErrorCode::NotLeaderOrFollower.code(), 6);
    assert_eq!(
        ErrorCode::NotLeaderOrFollower.name(),
        "NOT_LEADER_OR_FOLLOWER"
    );
    assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
    assert!(!ErrorCode::MessageTooLarge.is_retriable());
}
