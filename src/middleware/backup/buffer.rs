//! Header fields and other text, written one after the other into memory that is reused.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// What stands before a written header, in one word: how long its value is, how long its name is
/// (at most 64 KiB, says `http`), and whether the value is sensitive.
struct FieldPrefix(u64);

/// Memory that grew beyond this (bytes) is freed and not used again.
pub(super) const REUSED_CAPACITY: usize = 4096;

/// How many bytes [`Writer::write_header`] takes for all of `headers`.
#[cold]
pub(super) fn written_len(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| FieldPrefix::SIZE + name.as_str().len() + value.len()).sum()
}

impl FieldPrefix {
    const SIZE: usize = size_of::<u64>();

    #[inline]
    fn new(name_len: usize, value_len: usize, sensitive: bool) -> Self {
        // No memory holds a value of 2^47 bytes.
        FieldPrefix((value_len as u64) << 17 | (name_len as u64) << 1 | u64::from(sensitive))
    }

    fn name_len(&self) -> usize {
        (self.0 >> 1) as u16 as usize
    }

    fn value_len(&self) -> usize {
        (self.0 >> 17) as usize
    }

    fn is_sensitive(&self) -> bool {
        self.0 & 1 != 0
    }
}

/// Memory that is written from its beginning, again and again, and given back only as a whole.
#[derive(Default)]
pub(super) struct ByteBuffer {
    bytes: Vec<u8>,
    /// So many bytes of it are written.
    used: usize,
}

impl ByteBuffer {
    /// Has `write` write, from the beginning. Where the memory is too small it writes once more, in
    /// one allocation of at least `needed` bytes.
    #[inline]
    pub(super) fn fill(
        &mut self,
        needed: impl Fn() -> usize,
        write: impl Fn(&mut Writer<'_>) -> Option<()>,
    ) {
        loop {
            let mut writer = Writer(&mut self.bytes);
            if write(&mut writer).is_some() {
                let left = writer.0.len();
                self.used = self.bytes.len() - left;
                return;
            }
            self.grow(needed());
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        // It may hold a part of what did not go in, and is freed.
        self.bytes.fill(0);
        // A power of two, so that the next request finds room too; a large one is not kept anyway.
        let wanted = if needed > REUSED_CAPACITY { needed } else { needed.next_power_of_two() };
        self.bytes = vec![0; wanted.max(2 * self.bytes.len()).max(256)];
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

/// What is left of a buffer to write to.
pub(super) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    #[inline]
    fn take(&mut self, wanted: usize) -> Option<&'a mut [u8]> {
        let (taken, left) = std::mem::take(&mut self.0).split_at_mut_checked(wanted)?;
        self.0 = left;
        Some(taken)
    }

    /// `None` where the space does not suffice, as with the others.
    #[inline]
    pub(super) fn write(&mut self, text: &[u8]) -> Option<()> {
        copy(self.take(text.len())?, text);
        Some(())
    }

    #[inline(always)]
    pub(super) fn write_header(&mut self, name: &HeaderName, value: &HeaderValue) -> Option<()> {
        let (name, text) = (name.as_str().as_bytes(), value.as_bytes());
        let FieldPrefix(word) = FieldPrefix::new(name.len(), text.len(), value.is_sensitive());
        self.take(FieldPrefix::SIZE)?.copy_from_slice(&word.to_le_bytes());
        self.write(name)?;
        self.write(text)
    }
}

/// Copies a text into room of its length. Most texts are short, and a call of `memcpy` would cost more
/// than the copying.
#[inline(always)]
fn copy(room: &mut [u8], text: &[u8]) {
    let is_copied = text.len() <= 32
        && (copy_ends::<16>(room, text).is_some()
            || copy_ends::<8>(room, text).is_some()
            || copy_ends::<4>(room, text).is_some());
    if !is_copied {
        room.copy_from_slice(text);
    }
}

/// Copies the first and the last `N` bytes, which are all of them where there are at most twice as
/// many. `None`, and nothing is copied, where there are fewer.
#[inline(always)]
fn copy_ends<const N: usize>(room: &mut [u8], text: &[u8]) -> Option<()> {
    *room.first_chunk_mut::<N>()? = *text.first_chunk()?;
    *room.last_chunk_mut::<N>()? = *text.last_chunk()?;
    Some(())
}

/// The first value of the field `name` among those that [`Writer::write_header`] has written.
pub(super) fn find_field<'a>(mut bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_first_chunk()?;
        let prefix = FieldPrefix(u64::from_le_bytes(*prefix));
        let (found, rest) = rest.split_at_checked(prefix.name_len())?;
        let (value, rest) = rest.split_at_checked(prefix.value_len())?;
        if found == name.as_bytes() {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

/// Reads what [`Writer::write_header`] has written.
pub(super) fn read_headers(mut bytes: &[u8], headers: &mut HeaderMap) -> Option<()> {
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_first_chunk()?;
        let prefix = FieldPrefix(u64::from_le_bytes(*prefix));
        let (name, rest) = rest.split_at_checked(prefix.name_len())?;
        let (value, rest) = rest.split_at_checked(prefix.value_len())?;
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(prefix.is_sensitive());
        headers.try_append(HeaderName::from_bytes(name).ok()?, value).ok()?;
        bytes = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_read_back_as_they_were_written() {
        let mut written = HeaderMap::new();
        for length in 0..70 {
            let text = |from: u8| (0..length).map(|at| from + at % 26).collect::<Vec<_>>();
            let name = HeaderName::from_bytes(&[b"x".to_vec(), text(b'a')].concat()).unwrap();
            let mut value = HeaderValue::from_bytes(&text(b'A')).unwrap();
            value.set_sensitive(length % 2 == 1);
            written.insert(name, value);
        }

        let mut buffer = ByteBuffer::default();
        buffer.fill(
            || written_len(&written),
            |writer| written.iter().try_for_each(|(name, value)| writer.write_header(name, value)),
        );
        assert_eq!(buffer.written().len(), written_len(&written));
        assert_eq!(buffer.capacity(), buffer.written().len(), "a large one is allocated once");
        assert_eq!(find_field(buffer.written(), "xabc"), Some(&b"ABC"[..]));
        assert_eq!(find_field(buffer.written(), "y"), None);
        let mut read = HeaderMap::new();
        read_headers(buffer.written(), &mut read).unwrap();
        assert!(read.iter().eq(written.iter()), "{read:?}");
        let sensitive = |headers: &HeaderMap| -> Vec<_> {
            headers.values().map(HeaderValue::is_sensitive).collect()
        };
        assert_eq!(sensitive(&read), sensitive(&written));

        buffer.wipe();
        assert!(buffer.is_wiped());
        buffer.fill(|| 5, |writer| writer.write(b"short"));
        assert_eq!(buffer.written(), b"short");
    }
}
