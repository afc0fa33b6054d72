//! Points of Edwards25519 that are no keys: those of order 1, 2, 4 and 8. Multiplied by whatever a message comes to, such a
//! point is one of eight at most, so that anybody can guess a signature that is right for it. Not every verifier refuses
//! them ("Taming the many EdDSAs", 2020), so that sets are to hold none.

/// The y of each, little-endian, which is an encoding without its last bit, the sign of x (RFC 8032, 5.1.2).
const Y: [[u8; 32]; 7] = [
    // 0, and once more as p, of order 4.
    filled(0, 0, 0),
    filled(0xed, 0xff, 0x7f),
    // 1, and once more as p + 1, of order 1.
    filled(1, 0, 0),
    filled(0xee, 0xff, 0x7f),
    // -1, of order 2.
    filled(0xec, 0xff, 0x7f),
    // The two of order 8, whose sum is p. Of these, as of -1, there is no second encoding that fits.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn filled(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether this is one of them, in any encoding.
pub(super) fn is_one(point: &[u8; 32]) -> bool {
    let mut y = *point;
    y[31] &= 0x7f;
    Y.contains(&y)
}
