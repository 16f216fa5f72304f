//! Names of return addresses, looked up in the running program's own symbol table.
//!
//! # Limits
//! A look-up reads the table once, piece by piece, and keeps only the names it was asked for: at most `NAMES_MAX`. A
//! program whose table was stripped gets numbers instead of names.
//!
//! # Instead of
//! Debug information, which knows lines and inlined functions too: reading it takes a second of CPU and tens of MiB. The
//! reports give each place's number in the program, which `addr2line -fipe PROGRAM NUMBER` tells the rest of.

use rustc_demangle::demangle;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs::File,
    io,
    os::unix::fs::FileExt,
};

/// Addresses with their names kept; stalls come from few places.
const NAMES_MAX: usize = 2048;
/// Longest name read; one that is longer is cut.
const NAME_BYTES_MAX: u64 = 512;
/// The table is read in pieces of so many symbols.
const PIECE_SYMBOLS: u64 = 1024;
const SYMBOL_BYTES: u64 = 24;
/// What the kernel maps a running program from.
const PROGRAM: &str = "/proc/self/exe";
/// The executor's: what is further out says nothing.
const OUTERMOST: &str = "run_one_entered";
/// The signal handler; it, what it calls, and the kernel's trampoline around it are no part of the stack.
const HANDLER: &str = "watchdog::on_signal";

/// One address, named as far as it can be.
struct Place {
    /// Where in the program's file, as `addr2line` wants it.
    number: u64,
    name: Option<String>,
}

/// See the module head.
#[derive(Default)]
pub(super) struct Names(BTreeMap<usize, Place>);

impl Names {
    /// One line per function from the innermost of the task to the executor.
    pub(super) fn stack_text(&mut self, frames: &[usize]) -> String {
        if frames.is_empty() {
            return "  (it ended before its stack was taken)\n".to_owned();
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let missing: BTreeSet<usize> = frames
            .iter()
            .filter(|frame| !self.0.contains_key(frame))
            .copied()
            .collect();
        if !missing.is_empty() {
            self.look_up(&missing);
        }
        let is = |frame: &usize, part: &str| {
            let name = self.0.get(frame).and_then(|place| place.name.as_deref());
            name.is_some_and(|name| name.contains(part))
        };
        let handler = frames.iter().rposition(|frame| is(frame, HANDLER));
        let first = handler.map_or(0, |at| (at + 2).min(frames.len()));
        let mut text = String::new();
        for frame in &frames[first..] {
            if is(frame, OUTERMOST) {
                break;
            }
            let Some(place) = self.0.get(frame) else {
                continue;
            };
            let name = place.name.as_deref().unwrap_or("(a library, or no symbol)");
            let _ = writeln!(text, "  {name} [{:#x}]", place.number);
        }
        text
    }

    fn look_up(&mut self, addresses: &BTreeSet<usize>) {
        let found = Program::open().and_then(|program| {
            let numbers: BTreeMap<u64, usize> = addresses
                .iter()
                .map(|address| ((*address as u64).wrapping_sub(program.bias), *address))
                .collect();
            let names = program.names(numbers.keys().copied().collect())?;
            Ok((numbers, names))
        });
        let (numbers, mut names) = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "the program's symbols cannot be read");
            let numbers = addresses.iter().map(|a| (*a as u64, *a)).collect();
            (numbers, BTreeMap::new())
        });
        for (number, address) in numbers {
            let name = names.remove(&number);
            self.0.insert(address, Place { number, name });
        }
    }
}

/// The running program's file (ELF, 64 bits, in this machine's byte order).
struct Program {
    file: File,
    /// What is added to the file's addresses in memory.
    bias: u64,
    symbols: Section,
    strings: Section,
}

#[derive(Clone, Copy)]
struct Section {
    at: u64,
    bytes: u64,
}

/// Why it is no program we can read.
fn unreadable(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
}

impl Program {
    fn open() -> io::Result<Self> {
        const HEADER_BYTES: usize = 64;
        const PROGRAM_HEADER_BYTES: u64 = 56;
        const SECTION_HEADER_BYTES: u64 = 64;
        const PT_PHDR: u32 = 6;
        const SHT_SYMTAB: u32 = 2;
        let file = File::open(PROGRAM)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        if header[..5] != *b"\x7fELF\x02" {
            return Err(unreadable("not ELF of 64 bits"));
        }
        let (program_headers_at, sections_at) = (u64_at(&header, 32), u64_at(&header, 40));
        let (program_headers, sections) = (u16_at(&header, 56), u16_at(&header, 60));
        // The kernel says where it put the program headers, and they say where they belong.
        let loaded_at = super::program_headers_at();
        let mut bias = None;
        let mut row = [0; SECTION_HEADER_BYTES as usize];
        for i in 0..u64::from(program_headers) {
            let row = &mut row[..PROGRAM_HEADER_BYTES as usize];
            file.read_exact_at(row, program_headers_at + i * PROGRAM_HEADER_BYTES)?;
            if u32_at(row, 0) == PT_PHDR {
                bias = Some(loaded_at.wrapping_sub(u64_at(row, 16)));
            }
        }
        let mut section = |i: u64| -> io::Result<(u32, u64, Section)> {
            file.read_exact_at(&mut row, sections_at + i * SECTION_HEADER_BYTES)?;
            let (at, bytes) = (u64_at(&row, 24), u64_at(&row, 32));
            let link = u64::from(u32_at(&row, 40));
            Ok((u32_at(&row, 4), link, Section { at, bytes }))
        };
        for i in 0..u64::from(sections) {
            let (kind, link, symbols) = section(i)?;
            if kind == SHT_SYMTAB {
                let (_, _, strings) = section(link)?;
                return Ok(Self {
                    bias: bias.ok_or(unreadable("no program header of program headers"))?,
                    symbols,
                    strings,
                    file,
                });
            }
        }
        Err(unreadable("no symbol table"))
    }

    /// Names of the functions around these places in the file.
    fn names(&self, numbers: Vec<u64>) -> io::Result<BTreeMap<u64, String>> {
        const FUNCTION: u8 = 2;
        let mut found = BTreeMap::new();
        let count = self.symbols.bytes / SYMBOL_BYTES;
        let mut piece = vec![0; (PIECE_SYMBOLS * SYMBOL_BYTES) as usize];
        for first in (0..count).step_by(PIECE_SYMBOLS as usize) {
            let symbols = PIECE_SYMBOLS.min(count - first);
            let piece = &mut piece[..(symbols * SYMBOL_BYTES) as usize];
            self.file
                .read_exact_at(piece, self.symbols.at + first * SYMBOL_BYTES)?;
            for symbol in piece.chunks_exact(SYMBOL_BYTES as usize) {
                if symbol[4] & 0xf != FUNCTION {
                    continue;
                }
                let (start, bytes) = (u64_at(symbol, 8), u64_at(symbol, 16));
                // A return address may stand right behind its function, when the call is the last it does.
                for number in &numbers {
                    if number.wrapping_sub(1).wrapping_sub(start) < bytes {
                        found.insert(*number, u64::from(u32_at(symbol, 0)));
                    }
                }
            }
        }
        found
            .into_iter()
            .map(|(number, name_at)| Ok((number, self.name(name_at)?)))
            .collect()
    }

    fn name(&self, at: u64) -> io::Result<String> {
        let left = self.strings.bytes.saturating_sub(at);
        let mut bytes = vec![0; left.min(NAME_BYTES_MAX) as usize];
        self.file.read_exact_at(&mut bytes, self.strings.at + at)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        bytes.truncate(end.unwrap_or(bytes.len()));
        let name = String::from_utf8_lossy(&bytes);
        Ok(format!("{:#}", demangle(&name)))
    }
}

#[cfg(test)]
mod tests;
