//! Files that nobody draws by hand: bombs, halves, two documents in one, pictures that say that they are others.

use image::{Rgba, RgbaImage, codecs::jpeg::JpegEncoder, codecs::webp::WebPEncoder};

use super::*;
use crate::pictures::format;

/// Its left half is red, its right half blue.
fn picture(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(
        width,
        height,
        |x, _| if x < width / 2 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 255, 255]) },
    )
}

fn png(picture: &RgbaImage) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = picture.dimensions();
    PngEncoder::new(&mut file).write_image(picture.as_raw(), width, height, ExtendedColorType::Rgba8).unwrap();
    file
}

fn jpeg(picture: &RgbaImage) -> Vec<u8> {
    let mut file = Vec::new();
    let rgb = DynamicImage::from(picture.clone()).into_rgb8();
    let (width, height) = rgb.dimensions();
    JpegEncoder::new(&mut file).write_image(rgb.as_raw(), width, height, ExtendedColorType::Rgb8).unwrap();
    file
}

fn webp(picture: &RgbaImage) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = picture.dimensions();
    WebPEncoder::new_lossless(&mut file)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgba8)
        .unwrap();
    file
}

/// A chunk of a PNG.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [name.as_slice(), content].concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [length.as_slice(), &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

/// The bytes of a PNG before its second chunk: signature and header.
const PNG_HEAD: usize = 8 + 25;

/// The code of the one fault.
fn fault(format: ImageFormat, file: &[u8]) -> &'static str {
    match draw(format, file) {
        Err(fault) => fault.code(),
        Ok(drawn) => panic!("{} bytes were drawn", drawn.len()),
    }
}

/// What was drawn; it must be a PNG of ours with nothing in it but pixels.
fn drawn(format: ImageFormat, file: &[u8]) -> RgbaImage {
    let drawn = draw(format, file).unwrap();
    let mut place = 8;
    while place < drawn.len() {
        let length = u32::from_be_bytes(drawn[place..place + 4].try_into().unwrap()) as usize;
        let name = &drawn[place + 4..place + 8];
        assert!([b"IHDR", b"IDAT", b"IEND"].iter().any(|known| *known == name), "{name:?}");
        place += length + 12;
    }
    assert_eq!(place, drawn.len(), "nothing follows the picture");
    let picture = image::load_from_memory_with_format(&drawn, ImageFormat::Png).unwrap().into_rgba8();
    assert_eq!(picture.dimensions(), (SIDE, SIDE));
    picture
}

#[test]
fn each_format_is_drawn_anew_and_fills_the_square() {
    let wide = picture(64, 16);
    for (format, file) in
        [(ImageFormat::Png, png(&wide)), (ImageFormat::Jpeg, jpeg(&wide)), (ImageFormat::WebP, webp(&wide))]
    {
        let drawn = drawn(format, &file);
        let (left, right) = (drawn.get_pixel(10, 128), drawn.get_pixel(245, 128));
        assert!(left[0] > 200 && left[2] < 60, "{format:?}: {left:?}");
        assert!(right[2] > 200 && right[0] < 60, "{format:?}: {right:?}");
    }
}

#[test]
fn one_pixel_is_a_picture() {
    drawn(ImageFormat::Png, &png(&picture(1, 1)));
}

#[test]
fn a_picture_that_is_not_what_it_says_is_refused() {
    let small = picture(4, 4);
    assert_eq!(fault(ImageFormat::Png, &jpeg(&small)), "invalid_image");
    assert_eq!(fault(ImageFormat::Jpeg, &webp(&small)), "invalid_image");
    for file in [
        b"GIF89a\x01\x00\x01\x00".as_slice(),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><svg/>",
        b"BM\0\0",
        b"",
        b"\x89PNG",
    ] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            assert_eq!(fault(format, file), "invalid_image", "{format:?}");
        }
    }
}

#[test]
fn only_three_media_types_are_pictures() {
    assert_eq!(format(" IMAGE/PNG "), Some(ImageFormat::Png));
    for other in ["", "image/gif", "image/svg+xml", "image/bmp", "application/octet-stream", "image/*"] {
        assert_eq!(format(other), None, "{other}");
    }
}

#[test]
fn a_picture_with_too_many_pixels_is_refused_by_its_header() {
    let bomb = |width: u32, height: u32| {
        let header = [width.to_be_bytes().as_slice(), &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        let begin = [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header)].concat();
        [begin, chunk(b"IDAT", &[0x78, 0x01]), chunk(b"IEND", &[])].concat()
    };
    for (width, height) in [(30_000, 30_000), (4_097, 1), (1, 4_097), (u32::MAX / 2, 1)] {
        assert_eq!(fault(ImageFormat::Png, &bomb(width, height)), "image_too_large", "{width} x {height}");
    }
    assert_eq!(fault(ImageFormat::Png, &bomb(0, 10)), "invalid_image");
    let mut large = jpeg(&picture(8, 8));
    // The frame's header: marker, length, precision, then height and width.
    let frame = large.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    large[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    assert_eq!(fault(ImageFormat::Jpeg, &large), "image_too_large");
    let mut canvas = animate(&webp(&picture(16, 16)), 1);
    canvas[24..30].copy_from_slice(&[0x2f, 0x75, 0, 0x2f, 0x75, 0]);
    assert_eq!(fault(ImageFormat::WebP, &canvas), "image_too_large");
}

#[test]
fn half_a_picture_is_refused() {
    let noise = RgbaImage::from_fn(64, 64, |x, y| {
        let value = (x * 7_919 + y * 104_729) % 251;
        Rgba([value as u8, (value * 3 % 256) as u8, (x * y % 256) as u8, 255])
    });
    for (format, file) in [(ImageFormat::Png, png(&noise)), (ImageFormat::WebP, webp(&noise))] {
        for length in [12, 20, 40, file.len() / 2] {
            assert_eq!(fault(format, &file[..length]), "invalid_image", "{format:?} {length}");
        }
    }
    let file = jpeg(&noise);
    for length in [3, 20, 200] {
        assert_eq!(fault(ImageFormat::Jpeg, &file[..length]), "invalid_image", "{length}");
    }
}

#[test]
fn nothing_but_pixels_survives() {
    let script = b"<script>alert(1)</script>";
    let plain = png(&picture(16, 16));
    let (head, rest) = plain.split_at(PNG_HEAD);
    let text = chunk(b"tEXt", &[b"Comment\0".as_slice(), script].concat());
    let polyglot = [head, &text, &chunk(b"eXIf", script), rest, script, b"PK\x03\x04 a second document"].concat();
    assert!(polyglot.windows(script.len()).any(|part| part == script));
    drawn(ImageFormat::Png, &polyglot);

    let plain = jpeg(&picture(16, 16));
    let exif = [b"Exif\0\0".as_slice(), script].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let segment = [[0xff, 0xe1].as_slice(), &length, &exif].concat();
    let tagged = [&plain[..2], &segment, &plain[2..], script.as_slice()].concat();
    drawn(ImageFormat::Jpeg, &tagged);
}

#[test]
fn of_an_animation_the_first_frame_is_kept() {
    let plain = png(&picture(16, 16));
    let (head, rest) = plain.split_at(PNG_HEAD);
    let frames = chunk(b"acTL", &[0, 1, 0x86, 0xa0, 0, 0, 0, 0]);
    drawn(ImageFormat::Png, &[head, &frames, rest].concat());

    let still = webp(&picture(16, 16));
    let animated = drawn(ImageFormat::WebP, &animate(&still, 3));
    assert!(animated.get_pixel(10, 128)[0] > 200);
}

/// A WebP whose frames are all the picture of `still`, which is 16 by 16.
fn animate(still: &[u8], frames: u8) -> Vec<u8> {
    let chunk = |name: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [name.as_slice(), &length, content, if content.len() % 2 == 1 { &[0] } else { &[] }].concat()
    };
    let mut body = b"WEBP".to_vec();
    // Flags: animation and alpha; then the canvas, less one.
    body.extend(chunk(b"VP8X", &[0x12, 0, 0, 0, 15, 0, 0, 15, 0, 0]));
    body.extend(chunk(b"ANIM", &[0; 6]));
    for _ in 0..frames {
        let frame = [&[0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 0], &still[12..]].concat();
        body.extend(chunk(b"ANMF", &frame));
    }
    chunk(b"RIFF", &body)
}
