//! The masking of RFC 6455 5.3: payload XOR a four-byte key, over and over.
//!
//! The loops work on blocks of 64 bytes held in arrays, which the compiler turns into vector
//! instructions without `unsafe`.

/// Bytes of one step of the loops; four registers of 16 bytes on any x86-64.
const BLOCK: usize = 64;

/// Masks or unmasks `data` in place; its first byte stands `offset` bytes into the frame's payload.
pub fn apply_mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let key = phased(key, offset);
    let wide = widened(key);
    let (blocks, tail) = data.as_chunks_mut::<BLOCK>();
    for block in blocks {
        xor(block, &wide);
    }
    for (byte, mask) in tail.iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

/// Appends `src`, unmasked, to `dst`; the first byte of `src` stands `offset` bytes into the
/// frame's payload.
pub fn unmask_into(dst: &mut Vec<u8>, src: &[u8], key: [u8; 4], offset: usize) {
    let wide = widened(phased(key, offset));
    dst.reserve(src.len());
    let (blocks, tail) = src.as_chunks::<BLOCK>();
    for block in blocks {
        let mut block = *block;
        xor(&mut block, &wide);
        dst.extend_from_slice(&block);
    }
    dst.extend(tail.iter().zip(wide).map(|(byte, mask)| byte ^ mask));
}

/// Writes `src`, unmasked, over the beginning of `dst`, as far as the shorter of them reaches.
pub(crate) fn unmask_over(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
    let wide = widened(key);
    let len = dst.len().min(src.len());
    let (Some(dst), Some(src)) = (dst.get_mut(..len), src.get(..len)) else {
        return;
    };
    let (to, to_tail) = dst.as_chunks_mut::<BLOCK>();
    let (from, from_tail) = src.as_chunks::<BLOCK>();
    for (to, from) in to.iter_mut().zip(from) {
        let mut block = *from;
        xor(&mut block, &wide);
        *to = block;
    }
    for ((to, from), mask) in to_tail.iter_mut().zip(from_tail).zip(wide) {
        *to = from ^ mask;
    }
}

/// The key as it stands `offset` bytes into the payload; turned as a number, for turning an array
/// calls `memcpy` three times.
pub(crate) fn phased(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (offset as u32 & 3)).to_le_bytes()
}

fn widened(key: [u8; 4]) -> [u8; BLOCK] {
    let mut wide = [0; BLOCK];
    for quad in wide.as_chunks_mut::<4>().0 {
        *quad = key;
    }
    wide
}

fn xor(block: &mut [u8; BLOCK], wide: &[u8; BLOCK]) {
    for (byte, mask) in block.iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(data: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        (0..data.len()).map(|i| data[i] ^ key[(i + offset) % 4]).collect()
    }

    #[test]
    fn every_length_and_phase_equals_the_byte_by_byte_definition() {
        let data: Vec<u8> = (0..300u16).map(|n| (n * 7) as u8).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        for len in 0..data.len() {
            for offset in 0..5 {
                let wanted = slow(&data[..len], key, offset);
                let mut in_place = data[..len].to_vec();
                apply_mask(&mut in_place, key, offset);
                let mut appended = b"before".to_vec();
                unmask_into(&mut appended, &data[..len], key, offset);
                let mut over = vec![0xaa; len];
                unmask_over(&mut over, &data[..len], phased(key, offset));
                assert_eq!(in_place, wanted);
                assert_eq!(&appended[6..], wanted);
                assert_eq!(over, wanted);
            }
        }
    }

    #[test]
    fn masking_twice_gives_back_what_was_there() {
        let mut data = b"The gate is shut.".to_vec();
        apply_mask(&mut data, [9, 8, 7, 6], 3);
        apply_mask(&mut data, [9, 8, 7, 6], 3);
        assert_eq!(data, b"The gate is shut.");
    }
}
