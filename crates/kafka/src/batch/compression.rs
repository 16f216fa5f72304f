//! The four codecs of record batches: streaming decompression with bounded output, and compression.
//!
//! # Limits
//! Memory of a decompression: one chunk of output, and what the codec needs: gzip its 32 KiB window, lz4 two blocks of at
//! most 4 MiB, snappy one block (at most 22 times its compressed size, the most the format can express), zstd the
//! frame's window, at most 2^27 bytes as in Kafka's own reader, touched only as far as output fills it.
//! State worth keeping (zstd's context, buffers) is kept per thread, one of each, and only while small.

use std::{
    cell::RefCell,
    io::{Read, Write},
};

use flate2::{bufread::MultiGzDecoder, write::GzEncoder};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{BatchError, Compression};

/// Largest window a zstd frame may ask for: 2^27, the format's recommendation and the bound of Kafka's reader.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What a thread keeps between batches of each kind of state at most: the window of zstd's default level and a bit.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Kafka's default level for zstd.
const ZSTD_LEVEL: i32 = 3;

/// Head of the framing that the Java client's snappy library puts around blocks: magic, version 1, compatible 1.
const XERIAL_HEAD: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const XERIAL_MAGIC_BYTES: usize = 8;
/// Block size of that library.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// A copy element of three bytes yields 64, no element yields more per byte.
const SNAPPY_RATIO_MAX: usize = 22;

const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// What a thread keeps for the next batch.
#[derive(Default)]
struct Scratch {
    zstd: Option<DCtx<'static>>,
    block: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Decompresses the records of one batch.
pub(super) struct Decompressor<'a> {
    codec: Codec<'a>,
    compression: Compression,
    output_bytes: usize,
    output_bytes_max: usize,
}

enum Codec<'a> {
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(Snappy<'a>),
    Lz4(Box<Lz4<'a>>),
    Zstd(Zstd<'a>),
}

impl<'a> Decompressor<'a> {
    /// `compression` is one of the four that compress.
    pub fn new(
        compression: Compression,
        input: &'a [u8],
        output_bytes_max: usize,
    ) -> Result<Self, BatchError> {
        let codec = match compression {
            Compression::None => return Err(BatchError::Decompress(compression)),
            Compression::Gzip => Some(Codec::Gzip(Box::new(MultiGzDecoder::new(input)))),
            Compression::Snappy => Some(Codec::Snappy(Snappy::new(input))),
            Compression::Lz4 => Lz4::new(input).map(|lz4| Codec::Lz4(Box::new(lz4))),
            Compression::Zstd => Zstd::new(input).map(Codec::Zstd),
        };
        Ok(Self {
            codec: codec.ok_or(BatchError::Decompress(compression))?,
            compression,
            output_bytes: 0,
            output_bytes_max,
        })
    }

    /// Fills the front of `out`; 0 bytes only at the end of the input.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, BatchError> {
        let filled = match &mut self.codec {
            Codec::Gzip(gzip) => gzip.read(out).ok(),
            Codec::Snappy(snappy) => snappy.read(out, self.output_bytes_max),
            Codec::Lz4(lz4) => lz4.read(out),
            Codec::Zstd(zstd) => zstd.read(out),
        };
        let filled = filled.ok_or(BatchError::Decompress(self.compression))?;
        self.output_bytes += filled;
        if self.output_bytes > self.output_bytes_max {
            return Err(BatchError::Expansion {
                bytes_max: self.output_bytes_max,
            });
        }
        Ok(filled)
    }

    /// Appends everything to `out`.
    pub fn read_all(mut self, out: &mut Vec<u8>) -> Result<(), BatchError> {
        let mut chunk = vec![0; super::records::CHUNK_BYTES];
        loop {
            match self.read(&mut chunk)? {
                0 => return Ok(()),
                filled => out.extend_from_slice(&chunk[..filled]),
            }
        }
    }
}

/// One raw block, or blocks in the Java library's framing: each a length and a raw block.
struct Snappy<'a> {
    left: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    block_at: usize,
}

impl<'a> Snappy<'a> {
    fn new(input: &'a [u8]) -> Self {
        let magic = &XERIAL_HEAD[..XERIAL_MAGIC_BYTES];
        // Versions are not checked, as in Kafka's reader.
        let (left, framed) = match input.get(XERIAL_HEAD.len()..) {
            Some(blocks) if input.starts_with(magic) => (blocks, true),
            _ => (input, false),
        };
        let block = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.block));
        Self {
            left,
            framed,
            block_at: block.len(),
            block,
        }
    }

    fn read(&mut self, out: &mut [u8], output_bytes_max: usize) -> Option<usize> {
        while self.block_at == self.block.len() {
            if self.left.is_empty() {
                return Some(0);
            }
            let raw = if self.framed {
                let (size, after) = self.left.split_first_chunk::<4>()?;
                let size = usize::try_from(i32::from_be_bytes(*size)).ok()?;
                let (raw, after) = after.split_at_checked(size)?;
                self.left = after;
                raw
            } else {
                std::mem::take(&mut self.left)
            };
            let size = snap::raw::decompress_len(raw).ok()?;
            if size > raw.len().saturating_mul(SNAPPY_RATIO_MAX) || size > output_bytes_max {
                return None;
            }
            self.block.resize(size, 0);
            let size = snap::raw::Decoder::new()
                .decompress(raw, &mut self.block)
                .ok()?;
            self.block.truncate(size);
            self.block_at = 0;
        }
        let from = &self.block[self.block_at..];
        let filled = from.len().min(out.len());
        out[..filled].copy_from_slice(&from[..filled]);
        self.block_at += filled;
        Some(filled)
    }
}

impl Drop for Snappy<'_> {
    fn drop(&mut self) {
        if self.block.capacity() <= KEPT_BYTES_MAX {
            self.block.clear();
            let block = std::mem::take(&mut self.block);
            SCRATCH.with_borrow_mut(|scratch| scratch.block = block);
        }
    }
}

/// One lz4 frame of independent blocks: Kafka's reader takes neither dependent blocks nor a second frame.
struct Lz4<'a> {
    frame: FrameDecoder<&'a [u8]>,
    ended: bool,
}

impl<'a> Lz4<'a> {
    fn new(input: &'a [u8]) -> Option<Self> {
        if !lz4_frame_is_whole(input)? {
            return None;
        }
        Some(Self {
            frame: FrameDecoder::new(input),
            ended: false,
        })
    }

    fn read(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.ended {
            return Some(0);
        }
        let filled = self.frame.read(out).ok()?;
        self.ended = filled == 0;
        Some(filled)
    }
}

/// Walks the blocks' sizes to the end mark, because the decoder takes a frame that is cut off between two blocks for
/// complete. `None` or false for what Kafka's reader refuses.
fn lz4_frame_is_whole(input: &[u8]) -> Option<bool> {
    let mut left = input.strip_prefix(&LZ4_MAGIC)?;
    let flags = *left.first()?;
    let set = |bit: u8| flags & bit != 0;
    let (independent, block_checksums) = (set(0x20), set(0x10));
    let (content_size, content_checksum, dictionary) = (set(0x08), set(0x04), set(0x01));
    if flags >> 6 != 1 || !independent || dictionary {
        return None;
    }
    // Flags, block descriptor, content size, header checksum.
    left = left.get(if content_size { 11 } else { 3 }..)?;
    loop {
        let (size, after) = left.split_first_chunk::<4>()?;
        // The top bit marks a block stored as it is.
        let size = u32::from_le_bytes(*size) & 0x7fff_ffff;
        if size == 0 {
            return Some(after.len() == if content_checksum { 4 } else { 0 });
        }
        let checksum = if block_checksums { 4 } else { 0 };
        left = after.get(size as usize + checksum..)?;
    }
}

struct Zstd<'a> {
    context: Option<DCtx<'static>>,
    input: &'a [u8],
    at: usize,
    /// Whether the input so far ends with a whole frame.
    frame_ended: bool,
}

impl<'a> Zstd<'a> {
    fn new(input: &'a [u8]) -> Option<Self> {
        let kept = SCRATCH.with_borrow_mut(|scratch| scratch.zstd.take());
        let mut context = match kept {
            Some(context) => context,
            None => DCtx::try_create()?,
        };
        context.reset(ResetDirective::SessionOnly).ok()?;
        context
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .ok()?;
        Some(Self {
            context: Some(context),
            input,
            at: 0,
            frame_ended: true,
        })
    }

    fn read(&mut self, out: &mut [u8]) -> Option<usize> {
        let context = self.context.as_mut()?;
        let mut input = InBuffer::around(self.input);
        input.set_pos(self.at);
        let mut output = OutBuffer::around(out);
        loop {
            if self.frame_ended && input.pos() == self.input.len() {
                break;
            }
            let (before, filled) = (input.pos(), output.pos());
            let hint = context.decompress_stream(&mut output, &mut input).ok()?;
            self.frame_ended = hint == 0;
            if output.pos() == output.capacity() {
                break;
            }
            // Room for output and yet no progress: the frame is cut off.
            if input.pos() == before && output.pos() == filled {
                return None;
            }
        }
        self.at = input.pos();
        Some(output.pos())
    }
}

impl Drop for Zstd<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take()
            && context.sizeof() <= KEPT_BYTES_MAX
        {
            SCRATCH.with_borrow_mut(|scratch| scratch.zstd = Some(context));
        }
    }
}

/// Appends `input`, compressed as Kafka's own clients do it, to `out`.
pub(super) fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) {
    match compression {
        Compression::None => out.extend_from_slice(input),
        Compression::Gzip => gzip(input, out),
        Compression::Snappy => snappy(input, out),
        Compression::Lz4 => lz4(input, out),
        Compression::Zstd => {
            let bytes_max = zstd::zstd_safe::compress_bound(input.len());
            let from = out.len();
            out.resize(from + bytes_max, 0);
            let size = zstd::bulk::compress_to_buffer(input, &mut out[from..], ZSTD_LEVEL)
                .expect("the buffer holds the worst case");
            out.truncate(from + size);
        }
    }
}

/// Compression of one batch's records a piece at a time, into a vector.
pub(super) enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Snappy { out: Vec<u8>, block: Vec<u8> },
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// `input_bytes` is how much will be written: zstd sizes its memory by it.
    pub fn new(compression: Compression, input_bytes: u64) -> Self {
        match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => Self::Gzip(gzip_encoder(Vec::new())),
            Compression::Snappy => Self::Snappy {
                out: XERIAL_HEAD.to_vec(),
                block: Vec::new(),
            },
            Compression::Lz4 => Self::Lz4(Box::new(lz4_encoder(Vec::new()))),
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL);
                let mut encoder = encoder.expect("the level is one of zstd's");
                let sized = encoder.set_pledged_src_size(Some(input_bytes));
                sized.expect("nothing is written yet");
                Self::Zstd(encoder)
            }
        }
    }

    pub fn write(&mut self, mut input: &[u8]) {
        let written = match self {
            Self::None(out) => out.write_all(input),
            Self::Gzip(encoder) => encoder.write_all(input),
            Self::Lz4(encoder) => encoder.write_all(input),
            Self::Zstd(encoder) => encoder.write_all(input),
            Self::Snappy { out, block } => {
                while !input.is_empty() {
                    let room = XERIAL_BLOCK_BYTES - block.len();
                    let (now, later) = input.split_at(room.min(input.len()));
                    block.extend_from_slice(now);
                    input = later;
                    if block.len() == XERIAL_BLOCK_BYTES {
                        snappy_block(block, out);
                        block.clear();
                    }
                }
                Ok(())
            }
        };
        written.expect("a vector takes every byte");
    }

    pub fn finish(self) -> Vec<u8> {
        let finished = match self {
            Self::None(out) => return out,
            Self::Gzip(encoder) => encoder.finish().ok(),
            Self::Lz4(encoder) => encoder.finish().ok(),
            Self::Zstd(encoder) => encoder.finish().ok(),
            Self::Snappy { mut out, block } => {
                if !block.is_empty() {
                    snappy_block(&block, &mut out);
                }
                return out;
            }
        };
        finished.expect("a vector takes every byte, and as many came as were announced")
    }
}

fn gzip(input: &[u8], out: &mut Vec<u8>) {
    let mut encoder = gzip_encoder(out);
    encoder.write_all(input).expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte");
}

fn gzip_encoder<W: Write>(out: W) -> GzEncoder<W> {
    GzEncoder::new(out, flate2::Compression::default())
}

fn snappy(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&XERIAL_HEAD);
    for block in input.chunks(XERIAL_BLOCK_BYTES) {
        snappy_block(block, out);
    }
}

/// One block in the Java library's framing.
fn snappy_block(block: &[u8], out: &mut Vec<u8>) {
    let size_at = out.len();
    let from = size_at + 4;
    out.resize(from + snap::raw::max_compress_len(block.len()), 0);
    let size = snap::raw::Encoder::new()
        .compress(block, &mut out[from..])
        .expect("the buffer holds the worst case");
    out.truncate(from + size);
    out[size_at..from].copy_from_slice(&(size as u32).to_be_bytes());
}

fn lz4(input: &[u8], out: &mut Vec<u8>) {
    let mut encoder = lz4_encoder(out);
    encoder.write_all(input).expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte");
}

fn lz4_encoder<W: Write>(out: W) -> FrameEncoder<W> {
    let frame = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    FrameEncoder::with_frame_info(frame, out)
}
