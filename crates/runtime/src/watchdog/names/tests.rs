//! Tests of names: of functions of this very program.

use super::Names;

#[inline(never)]
fn a_function_to_be_found() -> u64 {
    std::hint::black_box(7)
}

#[test]
fn functions_are_named_without_debug_information() {
    let address = a_function_to_be_found as fn() -> u64 as usize;
    let mut names = Names::default();
    for _ in 0..2 {
        let text = names.stack_text(&[address + 1, 1]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains("names::tests::a_function_to_be_found ["),
            "{text}"
        );
        assert!(lines[1].contains("(a library, or no symbol)"), "{text}");
    }
    assert_eq!(a_function_to_be_found(), 7);
}

#[test]
fn no_frames_are_said_to_be_none() {
    assert!(
        Names::default()
            .stack_text(&[])
            .contains("before its stack")
    );
}
