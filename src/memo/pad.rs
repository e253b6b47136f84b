//! Bytes that are written one after the other, in memory that is used again and again.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// What stands before a written header, in one word: how long its value is, in the lower 32 bits,
/// whether that is sensitive, and how long its name is, which is at most 64 KiB.
struct Mark(u64);

impl Mark {
    const SENSITIVE: u64 = 1 << 32;
    const SIZE: usize = size_of::<u64>();

    #[inline]
    fn new(name_len: usize, value_len: usize, sensitive: bool) -> Self {
        Mark((name_len as u64) << 33 | u64::from(sensitive) << 32 | value_len as u64)
    }

    fn name_len(&self) -> usize {
        (self.0 >> 33) as usize
    }

    fn value_len(&self) -> usize {
        self.0 as u32 as usize
    }

    fn is_sensitive(&self) -> bool {
        self.0 & Mark::SENSITIVE != 0
    }
}

/// Memory that is written from its beginning, again and again, and given back only as a whole.
#[derive(Default)]
pub(super) struct Pad {
    bytes: Vec<u8>,
    /// So many bytes of it are written.
    used: usize,
}

impl Pad {
    #[inline]
    fn room(&mut self, wanted: usize) -> &mut [u8] {
        let end = self.used + wanted;
        if end > self.bytes.len() {
            self.grow(end);
        }
        let room = &mut self.bytes[self.used..end];
        self.used = end;
        room
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.bytes.resize(needed.next_power_of_two().max(256), 0);
    }

    #[inline]
    pub(super) fn write(&mut self, text: &str) {
        self.room(text.len()).copy_from_slice(text.as_bytes());
    }

    /// `false`, and nothing is written, if the value is too long to be marked.
    #[inline]
    pub(super) fn write_header(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        let (name, text) = (name.as_str().as_bytes(), value.as_bytes());
        if text.len() > u32::MAX as usize {
            return false;
        }
        let room = self.room(Mark::SIZE + name.len() + text.len());
        let (mark, room) = room.split_at_mut(Mark::SIZE);
        let (name_room, text_room) = room.split_at_mut(name.len());
        let Mark(word) = Mark::new(name.len(), text.len(), value.is_sensitive());
        mark.copy_from_slice(&word.to_le_bytes());
        name_room.copy_from_slice(name);
        text_room.copy_from_slice(text);
        true
    }

    /// All that is written.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How much memory it keeps, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        self.used == 0 && self.bytes.iter().all(|byte| *byte == 0)
    }

    /// Overwrites all that is written, and begins anew.
    pub(super) fn wipe(&mut self) {
        self.bytes[..self.used].fill(0);
        self.used = 0;
    }
}

/// Reads what [`Pad::write_header`] has written.
pub(super) fn read_headers(mut bytes: &[u8], headers: &mut HeaderMap) -> Option<()> {
    while !bytes.is_empty() {
        let (mark, rest) = bytes.split_first_chunk()?;
        let mark = Mark(u64::from_le_bytes(*mark));
        let (name, rest) = rest.split_at_checked(mark.name_len())?;
        let (value, rest) = rest.split_at_checked(mark.value_len())?;
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(mark.is_sensitive());
        headers.try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        bytes = rest;
    }
    Some(())
}
