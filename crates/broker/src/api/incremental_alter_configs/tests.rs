//! Editing of lists.

use super::edit_list;

#[test]
fn lists() {
    let cases = [
        ("delete", "compact", true, "delete,compact"),
        ("delete", "delete", true, "delete"),
        ("", "a, b", true, "a,b"),
        ("delete,compact", "compact", false, "delete"),
        ("delete", "compact", false, "delete"),
        ("a", "a", false, ""),
    ];
    for (before, items, is_append, after) in cases {
        assert_eq!(
            edit_list(before, items, is_append),
            after,
            "{before} {items} {is_append}"
        );
    }
}
