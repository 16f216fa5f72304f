//! The table is in order and its ranges are ranges.

use super::APIS;

#[test]
fn table_is_sorted_and_sane() {
    assert!(APIS.is_sorted_by_key(|api| api.key));
    for api in APIS {
        let range = api.version_min..=api.version_max;
        assert!(range.contains(&api.answered_min), "{}", api.name);
    }
}
