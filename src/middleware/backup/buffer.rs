//! Header fields and other text, written one after the other into memory that is reused.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What stands before a written header takes one word: how long its value is, how long its name is
/// (at most 64 KiB, says `http`), and whether the value is sensitive.
const PREFIX: usize = size_of::<u64>();

/// So many bytes are written at most: what is longer is dearer to copy than to share.
pub(super) const MOST_BYTES: usize = 4096;

/// How many bytes [`Writer::write_header`] takes for all of `headers`.
#[cold]
pub(super) fn written_len(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| PREFIX + name.as_str().len() + value.len()).sum()
}

/// Memory that is written from its beginning, again and again, and given back only as a whole.
pub(super) struct ByteBuffer {
    /// Enough for most requests, so that a buffer is one allocation.
    own: [u8; OWN],
    /// Where that is too little; empty otherwise.
    more: Vec<u8>,
    /// So many bytes are written.
    used: usize,
}

const OWN: usize = 256;

impl Default for ByteBuffer {
    fn default() -> Self {
        ByteBuffer { own: [0; OWN], more: Vec::new(), used: 0 }
    }
}

impl ByteBuffer {
    /// Has `write` write, from the beginning. Where the memory is too small it writes once more, in
    /// one allocation of at least `needed` bytes. Returns `false` where that would be more than
    /// [`MOST_BYTES`], and then nothing is written.
    #[inline]
    pub(super) fn fill(
        &mut self,
        needed: impl Fn() -> usize,
        write: impl Fn(&mut Writer<'_>) -> Option<()>,
    ) -> bool {
        loop {
            let bytes = self.bytes_mut();
            let size = bytes.len();
            let mut writer = Writer(bytes);
            if write(&mut writer).is_some() {
                let left = writer.0.len();
                self.used = size - left;
                return true;
            }
            // They may hold a part of what did not go in.
            self.bytes_mut().fill(0);
            let needed = needed();
            if needed > MOST_BYTES {
                return false;
            }
            // A power of two, so that the next request finds room too.
            self.more = vec![0; needed.next_power_of_two()];
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.more.is_empty() { &mut self.own } else { &mut self.more }
    }

    /// All that is written.
    pub(super) fn written(&self) -> &[u8] {
        let bytes = if self.more.is_empty() { &self.own[..] } else { &self.more };
        &bytes[..self.used]
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        self.used == 0 && self.own.iter().chain(&self.more).all(|byte| *byte == 0)
    }

    /// Overwrites all that is written, and begins anew.
    pub(super) fn wipe(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.bytes_mut()[..used].fill(0);
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
        // No memory holds a value of 2^47 bytes.
        let lengths = (text.len() as u64) << 17 | (name.len() as u64) << 1;
        let prefix = lengths | u64::from(value.is_sensitive());
        self.take(PREFIX)?.copy_from_slice(&prefix.to_le_bytes());
        self.write(name)?;
        self.write(text)
    }
}

/// Copies a text into room of its length. Most texts are short, and a call of `memcpy` costs more than the
/// copying: 45 instructions of the benchmark's GET and 93 of its POST, 3 and 4 %.
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

/// The fields that [`Writer::write_header`] has written: name, value, and whether that is sensitive.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
    std::iter::from_fn(move || {
        let (prefix, rest) = bytes.split_first_chunk()?;
        let prefix = u64::from_le_bytes(*prefix);
        let (name, rest) = rest.split_at_checked((prefix >> 1) as u16 as usize)?;
        let (value, rest) = rest.split_at_checked((prefix >> 17) as usize)?;
        bytes = rest;
        Some((name, value, prefix & 1 != 0))
    })
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
        // Up to half of them: all together are more than is written.
        let half: HeaderMap =
            written.iter().take(40).map(|(n, v)| (n.clone(), v.clone())).collect();
        for (headers, fits) in [(&half, true), (&written, false)] {
            let is_written = buffer.fill(
                || written_len(headers),
                |writer| {
                    headers.iter().try_for_each(|(name, value)| writer.write_header(name, value))
                },
            );
            assert_eq!(is_written, fits);
            if !fits {
                assert!(buffer.is_wiped());
                continue;
            }
            assert_eq!(buffer.written().len(), written_len(headers));
            let read = fields(buffer.written());
            let expected = headers.iter().map(|(name, value)| {
                (name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive())
            });
            assert!(read.eq(expected));
            buffer.wipe();
            assert!(buffer.is_wiped());
        }
        assert!(buffer.fill(|| 5, |writer| writer.write(b"short")));
        assert_eq!(buffer.written(), b"short");
    }
}
