//! Rules about what readers follow: links in Markdown, and paths that exist on one machine only.

use super::files::normal;
use super::{Finding, Tree};

/// Relative links in Markdown lead to a file of the tree, and to a heading that is there.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".md")) {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (line, target) in link_targets(text) {
            if target.contains("://") || target.starts_with("mailto:") || target.is_empty() {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let wanted = if file.is_empty() {
                path.to_owned()
            } else {
                normal(&format!("{dir}/{file}"))
            };
            let is_dir = tree
                .files
                .keys()
                .any(|known| known.starts_with(&format!("{wanted}/")));
            match tree.files.get(&wanted) {
                Some(Some(linked))
                    if !anchor.is_empty()
                        && wanted.ends_with(".md")
                        && !anchors(linked).iter().any(|known| known == anchor) =>
                {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("{wanted} has no heading #{anchor}"),
                    ));
                }
                None if !is_dir && !wanted.is_empty() => {
                    findings.push(Finding::new(path, line, format!("{target} leads nowhere")))
                }
                _ => {}
            }
        }
    }
    findings
}

/// The targets of `[text](target)` outside code, with their lines.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        let mut before = 0;
        while let Some(at) = rest.find("](") {
            let in_code = line[..before + at].matches('`').count() % 2 == 1;
            let target = &rest[at + 2..];
            let end = target.find([')', ' ']).unwrap_or(target.len());
            if !in_code {
                found.push((index + 1, &target[..end]));
            }
            before += at + 2;
            rest = target;
        }
    }
    found
}

/// The anchors of a Markdown file's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(slug).collect()
}

/// No file names a place that only one machine has.
pub fn machine_paths(tree: &Tree) -> Vec<Finding> {
    // In two pieces, so that this file passes its own rule.
    let banned = [
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/Us", "ers/"].concat(),
        ["/wo", "rk/"].concat(),
        ["../sha", "red"].concat(),
    ];
    let mut findings = Vec::new();
    for (path, text) in tree
        .texts()
        .filter(|(path, _)| !path.ends_with(".lock") && !path.ends_with(".sum"))
    {
        for (index, line) in text.lines().enumerate() {
            for place in banned.iter().filter(|place| {
                line.match_indices(place.as_str())
                    .any(|(at, _)| starts_a_path(line, at))
            }) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("{place} exists on one machine only"),
                ));
            }
        }
    }
    findings
}

/// Whether what begins at `at` is the start of a path and not the middle of a longer one, as in a URL.
fn starts_a_path(line: &str, at: usize) -> bool {
    line[..at].chars().next_back().is_none_or(|before| {
        !before.is_alphanumeric() && !matches!(before, '.' | '_' | '-' | '/' | '}' | '~')
    })
}
