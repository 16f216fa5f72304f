//! One file's bytes: the state everybody sees, the state on media, and the effects between the two.

use crate::sim::rng::Rng;
use std::rc::Rc;

pub(super) const PAGE: usize = 4096;

pub(super) type Page = Rc<[u8; PAGE]>;

/// Pages up to a length; a missing page is a hole and reads as zeroes.
#[derive(Clone, Default)]
pub(super) struct Image {
    pages: Vec<Option<Page>>,
    /// Of them, how many are no holes.
    allocated: u64,
    pub(super) len: u64,
}

/// A change that a power cut may undo.
#[derive(Clone)]
pub(super) struct Effect {
    /// Orders the effects of a host; a sync covers those that completed before it was asked for.
    pub(super) seq: u64,
    kind: EffectKind,
}

#[derive(Clone)]
enum EffectKind {
    Write {
        pos: u64,
        bytes: u64,
        /// The covered pages as this write left them.
        pages: Vec<Page>,
        /// File length if this write made the file longer.
        len: Option<u64>,
        /// Written around the page cache: nothing holds the bytes when the device lost them.
        direct: bool,
        /// Ranges that a later write already made durable.
        masked: Vec<(u64, u64)>,
    },
    Truncate {
        len: u64,
    },
    Extend {
        len: u64,
        /// Position and bytes of the space that was taken ahead with it.
        reserved: (u64, u64),
    },
}

/// Which of a file's pending effects a power cut leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survival {
    None,
    All,
    /// Those before a point in time; the one at the point is torn.
    Prefix {
        seq: u64,
    },
    /// Each write as a whole, some torn at sectors.
    Writes {
        chance: f64,
    },
    /// Each sector on its own.
    Sectors {
        chance: f64,
    },
}

/// A file: what readers see now, what is on media, and the difference in order.
#[derive(Clone, Default)]
pub(super) struct FileImage {
    pub(super) now: Image,
    durable: Image,
    pending: Vec<Effect>,
    /// What readers see differs from what is on media by more than `pending`.
    differs: bool,
}

impl Image {
    pub(super) fn pages_allocated(&self) -> u64 {
        self.allocated
    }

    pub(super) fn read(&self, pos: u64, out: &mut [u8]) -> usize {
        let bytes = (out.len() as u64).min(self.len.saturating_sub(pos)) as usize;
        let mut done = 0;
        while done < bytes {
            let at = pos as usize + done;
            let (page, start) = (at / PAGE, at % PAGE);
            let part = (PAGE - start).min(bytes - done);
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(page) => {
                    out[done..done + part].copy_from_slice(&page[start..start + part]);
                }
                None => out[done..done + part].fill(0),
            }
            done += part;
        }
        bytes
    }

    /// Pages that writing or reserving this range would have to allocate.
    pub(super) fn pages_missing(&self, pos: u64, bytes: u64) -> u64 {
        page_range(pos, bytes)
            .filter(|&page| self.pages.get(page).is_none_or(Option::is_none))
            .count() as u64
    }

    fn page_mut(&mut self, page: usize, zero: &Page) -> &mut Page {
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let allocated = &mut self.allocated;
        self.pages[page].get_or_insert_with(|| {
            *allocated += 1;
            Rc::clone(zero)
        })
    }

    fn write(&mut self, pos: u64, data: &[u8], zero: &Page) {
        let mut done = 0;
        while done < data.len() {
            let at = pos as usize + done;
            let (page, start) = (at / PAGE, at % PAGE);
            let part = (PAGE - start).min(data.len() - done);
            let target = self.page_mut(page, zero);
            let bytes = &data[done..done + part];
            match <&[u8; PAGE]>::try_from(bytes) {
                // Nothing stays of a page that others hold, too: it need not be copied first.
                Ok(whole) if Rc::strong_count(target) > 1 => *target = Rc::new(*whole),
                _ => Rc::make_mut(target)[start..start + part].copy_from_slice(bytes),
            }
            done += part;
        }
        self.len = self.len.max(pos + data.len() as u64);
    }

    fn reserve(&mut self, pos: u64, bytes: u64, zero: &Page) {
        for page in page_range(pos, bytes) {
            self.page_mut(page, zero);
        }
    }

    fn set_len(&mut self, len: u64) {
        let shorter = len < self.len;
        self.len = len;
        if shorter {
            self.set_len_exactly();
        }
    }

    /// Nothing is kept behind the length: what a longer length shows later is zeroes.
    fn set_len_exactly(&mut self) {
        let pages = (self.len as usize).div_ceil(PAGE);
        if let Some(gone) = self.pages.get(pages..) {
            self.allocated -= gone.iter().flatten().count() as u64;
            self.pages.truncate(pages);
        }
        let tail = self.len as usize % PAGE;
        if tail != 0
            && let Some(Some(page)) = self.pages.get_mut(self.len as usize / PAGE)
            && page[tail..].iter().any(|byte| *byte != 0)
        {
            Rc::make_mut(page)[tail..].fill(0);
        }
    }

    pub(super) fn flip_bit(&mut self, byte: u64, bit: u8) -> bool {
        if byte >= self.len {
            return false;
        }
        let zero = Rc::new([0; PAGE]);
        let page = self.page_mut(byte as usize / PAGE, &zero);
        Rc::make_mut(page)[byte as usize % PAGE] ^= 1 << (bit % 8);
        true
    }
}

fn page_range(pos: u64, bytes: u64) -> std::ops::Range<usize> {
    pos as usize / PAGE..(pos + bytes).div_ceil(PAGE as u64) as usize
}

impl FileImage {
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes and notes the effect; `sector` is what the device writes atomically.
    pub(super) fn write(&mut self, seq: u64, pos: u64, data: &[&[u8]], direct: bool, zero: &Page) {
        let before = self.now.len;
        let mut at = pos;
        for chunk in data {
            self.now.write(at, chunk, zero);
            at += chunk.len() as u64;
        }
        if at == pos {
            return;
        }
        let pages = page_range(pos, at - pos)
            .map(|page| Rc::clone(self.now.pages[page].as_ref().expect("just written")))
            .collect();
        self.pending.push(Effect {
            seq,
            kind: EffectKind::Write {
                pos,
                bytes: at - pos,
                pages,
                len: (self.now.len > before).then_some(self.now.len),
                direct,
                masked: Vec::new(),
            },
        });
    }

    pub(super) fn truncate(&mut self, seq: u64, len: u64) {
        let kind = if len < self.now.len {
            EffectKind::Truncate { len }
        } else {
            let reserved = (len, 0);
            EffectKind::Extend { len, reserved }
        };
        if len != self.now.len {
            self.now.set_len(len);
            self.pending.push(Effect { seq, kind });
        }
    }

    pub(super) fn allocate(&mut self, seq: u64, pos: u64, bytes: u64, zero: &Page) {
        self.now.reserve(pos, bytes, zero);
        let len = self.now.len.max(pos + bytes);
        self.now.set_len(len);
        let reserved = (pos, bytes);
        self.pending.push(Effect {
            seq,
            kind: EffectKind::Extend { len, reserved },
        });
    }

    /// Makes everything that happened up to `seq` durable.
    pub(super) fn sync(&mut self, seq: u64, zero: &Page) {
        let later = self.pending.partition_point(|effect| effect.seq <= seq);
        for effect in self.pending.drain(..later) {
            effect.apply(&mut self.durable, zero, PAGE, &mut |_| true);
        }
    }

    /// Makes the newest effect durable alone (RWF_DSYNC), with the file's pending changes of length.
    pub(super) fn sync_newest(&mut self, sector: usize, zero: &Page) {
        let Some(newest) = self.pending.pop() else {
            return;
        };
        if let EffectKind::Write { pos, bytes, .. } = newest.kind {
            self.settle_lengths(zero);
            let (first, end) = (pos - pos % sector as u64, pos + bytes);
            for effect in &mut self.pending {
                effect.mask(first, end);
            }
            // Whole pages are shared, parts of them copied.
            let is_whole = pos % PAGE as u64 == 0 && bytes % PAGE as u64 == 0;
            let unit = if is_whole { PAGE } else { sector };
            newest.apply(&mut self.durable, zero, unit, &mut |_| true);
            self.durable.len = self.durable.len.max(end);
        } else {
            newest.apply(&mut self.durable, zero, sector, &mut |_| true);
        }
    }

    /// The journal of a file system keeps changes of length in order: what is durable later takes them along.
    fn settle_lengths(&mut self, zero: &Page) {
        let mut at = 0;
        while at < self.pending.len() {
            match self.pending[at].kind {
                EffectKind::Write { .. } => {
                    at += 1;
                    continue;
                }
                EffectKind::Truncate { len } => {
                    for effect in &mut self.pending[..at] {
                        effect.mask(len, u64::MAX);
                        effect.forget_length_above(len);
                    }
                }
                EffectKind::Extend { .. } => {}
            }
            self.pending
                .remove(at)
                .apply(&mut self.durable, zero, PAGE, &mut |_| true);
        }
    }

    /// A sync that failed: some of the data reached the media, the rest is marked clean and forgotten.
    /// What was written around the page cache is gone for readers too.
    pub(super) fn fail_sync(&mut self, seq: u64, rng: &mut Rng, sector: usize, zero: &Page) {
        let later = self.pending.partition_point(|effect| effect.seq <= seq);
        let lost: Vec<Effect> = self.pending.drain(..later).collect();
        self.differs = true;
        for effect in &lost {
            effect.apply(&mut self.durable, zero, sector, &mut |_| rng.chance(0.5));
        }
        for effect in &lost {
            if let EffectKind::Write {
                pos,
                bytes,
                direct: true,
                ..
            } = effect.kind
            {
                for page in page_range(pos, bytes) {
                    let on_media = self.durable.pages.get(page).cloned().flatten();
                    if page < self.now.pages.len() {
                        *self.now.page_mut(page, zero) =
                            on_media.unwrap_or_else(|| Rc::clone(zero));
                    }
                }
            }
        }
    }

    /// What the media hold after the power went.
    pub(super) fn cut(&mut self, how: Survival, rng: &mut Rng, sector: usize, zero: &Page) {
        if self.pending.is_empty() && !self.differs {
            return;
        }
        for effect in std::mem::take(&mut self.pending) {
            let mut torn = false;
            let chance = match how {
                Survival::None => 0.0,
                Survival::All => 1.0,
                Survival::Prefix { seq } if effect.seq < seq => 1.0,
                Survival::Prefix { seq } if effect.seq > seq => 0.0,
                Survival::Prefix { .. } => 0.5,
                Survival::Writes { chance } => {
                    torn = rng.chance(0.25);
                    match (rng.chance(chance), torn) {
                        (true, true) => 0.7,
                        (true, false) => 1.0,
                        (false, _) => 0.0,
                    }
                }
                Survival::Sectors { chance } => chance,
            };
            // A torn write mostly is a prefix, as a device writes it in one go; else any subset.
            let cut_at = (torn && rng.chance(0.6)).then(|| rng.below(effect.sectors(sector) + 1));
            effect.apply(&mut self.durable, zero, sector, &mut |at| match cut_at {
                Some(cut_at) => at < cut_at,
                None => rng.chance(chance),
            });
        }
        self.durable.set_len_exactly();
        self.now = self.durable.clone();
        self.differs = false;
    }

    pub(super) fn flip_bit(&mut self, byte: u64, bit: u8) -> bool {
        self.durable.flip_bit(byte, bit);
        self.now.flip_bit(byte, bit)
    }
}

impl Effect {
    fn sectors(&self, sector: usize) -> u64 {
        match &self.kind {
            EffectKind::Write { pos, bytes, .. } => {
                (pos + bytes).div_ceil(sector as u64) - pos / sector as u64
            }
            EffectKind::Truncate { .. } | EffectKind::Extend { .. } => 1,
        }
    }

    fn mask(&mut self, from: u64, until: u64) {
        if let EffectKind::Write {
            pos, bytes, masked, ..
        } = &mut self.kind
            && *pos < until
            && from < *pos + *bytes
        {
            masked.push((from, until));
        }
    }

    fn forget_length_above(&mut self, bound: u64) {
        match &mut self.kind {
            EffectKind::Write { len, .. } => *len = len.map(|len| len.min(bound)),
            EffectKind::Truncate { len } => *len = (*len).min(bound),
            EffectKind::Extend { len, reserved } => {
                *len = (*len).min(bound);
                reserved.1 = reserved.1.min(bound.saturating_sub(reserved.0));
            }
        }
    }

    /// Brings the effect to `image`, sector by sector as `survives` says; `survives` also decides, as one more
    /// sector, whether a longer length is known.
    fn apply(
        &self,
        image: &mut Image,
        zero: &Page,
        sector: usize,
        survives: &mut dyn FnMut(u64) -> bool,
    ) {
        match &self.kind {
            EffectKind::Truncate { len } => {
                if survives(0) {
                    image.set_len((*len).min(image.len));
                }
            }
            EffectKind::Extend { len, reserved } => {
                if survives(0) {
                    image.set_len((*len).max(image.len));
                    image.reserve(reserved.0, reserved.1, zero);
                }
            }
            EffectKind::Write {
                pos,
                bytes,
                pages,
                len,
                masked,
                ..
            } => {
                let end = pos + bytes;
                let first_page = *pos as usize / PAGE;
                let mut at = pos - pos % sector as u64;
                let mut number = 0;
                let mut all = true;
                while at < end {
                    let hidden = masked
                        .iter()
                        .any(|(from, until)| *from <= at && at < *until);
                    let kept = survives(number);
                    if kept && !hidden {
                        let page = at as usize / PAGE;
                        let source = &pages[page - first_page];
                        copy_sector(image, page, at as usize % PAGE, sector, source, zero);
                    }
                    all &= kept;
                    at += sector as u64;
                    number += 1;
                }
                if let Some(len) = len
                    && (all || survives(number))
                {
                    image.len = image.len.max(*len);
                }
            }
        }
    }
}

fn copy_sector(
    image: &mut Image,
    page: usize,
    start: usize,
    sector: usize,
    source: &Page,
    zero: &Page,
) {
    let target = image.page_mut(page, zero);
    if sector == PAGE {
        *target = Rc::clone(source);
    } else {
        Rc::make_mut(target)[start..start + sector].copy_from_slice(&source[start..start + sector]);
    }
}
