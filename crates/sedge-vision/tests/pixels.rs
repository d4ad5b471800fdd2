//! The pixels themselves, against what Pillow and OpenCV gave for the same files.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use sedge_tensor::DType;
use sedge_vision::{
    Alpha, Color, DecodeError, DecodeLimits, Filter, ImageInput, Layout, Picture, PictureFormat,
    Resize, decode, preprocess,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

fn read(path: &str) -> Vec<u8> {
    fs::read(testdata(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn picture(path: &str) -> Picture {
    let decoded = decode(&read(path), &DecodeLimits::default());
    decoded.unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pixels as a tensor of bytes: no resize, RGB.
fn upright_rgb(picture: &Picture) -> Vec<u8> {
    let (width, height) = picture.upright_size();
    let input = ImageInput { width, height, dtype: DType::U8, ..Default::default() };
    preprocess(picture, &input).unwrap().tensor.bytes().to_vec()
}

fn differences(actual: &[u8], expected: &[u8]) -> String {
    assert_eq!(actual.len(), expected.len());
    let off: Vec<u8> = actual.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let count = off.iter().filter(|&&d| d > 0).count();
    format!("{count} of {} samples differ, by up to {:?}", off.len(), off.iter().max())
}

#[test]
fn every_picture_has_the_pixels_that_pillow_sees() {
    let list: Vec<Value> = serde_json::from_slice(&read("images/images.json")).unwrap();
    let mut seen = 0;
    for entry in &list {
        let file = entry["file"].as_str().unwrap();
        // Pillow clips 16-bit gray; we take the high byte (next test). BMP is not decoded.
        if file == "chelsea_gray16.png" || file.ends_with(".bmp") || file.contains("malformed/") {
            continue;
        }
        let picture = picture(&format!("images/{file}"));
        let orientation = entry["exif_orientation"].as_u64().unwrap_or(1);
        assert_eq!(u64::from(picture.orientation), orientation, "{file}");
        let size = picture.upright_size();
        assert_eq!(entry["rgb_size_after_exif"], serde_json::json!([size.0, size.1]), "{file}");
        assert_eq!(entry["rgb_sha256_after_exif"], sha256(&upright_rgb(&picture)), "{file}");
        seen += 1;
    }
    assert_eq!(seen, 32, "the list and the pictures compared differ");
}

#[test]
fn sixteen_bits_keep_the_high_byte() {
    let bytes = read("images/chelsea_gray16.png");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut samples).unwrap();
    let high: Vec<u8> = samples.iter().copied().step_by(2).collect();
    let gray = picture("images/chelsea_gray16.png");
    assert_eq!((gray.channels, gray.pixels == high), (1, true));
}

#[test]
fn malformed_files_are_errors_that_say_why() {
    let cases = [
        ("a_real_gif.gif", "the bytes are a GIF picture"),
        ("bad_crc_idat.png", "a checksum does not fit"),
        ("bad_crc_ihdr.png", "a checksum does not fit"),
        ("bomb_20000x20000_1bit.png", "20000 x 20000 pixels exceed the limit of 64000000"),
        ("bomb_header_60000x60000.png", "60000 x 60000 pixels exceed"),
        ("bomb_header_65500x65500.jpg", "65500 x 65500 pixels exceed"),
        ("corrupt_scan.jpg", "JPEG picture: it is damaged, or its 104837 bytes end too early"),
        ("gif_named.png", "the bytes are a GIF picture"),
        ("one_byte.png", "too short for a picture"),
        ("random_1k.jpg", "of an unknown format"),
        ("text_named.png", "the bytes are text"),
        ("truncated.png", "PNG picture: it is damaged, or its 80170 bytes end too early"),
        ("truncated_half.jpg", "JPEG picture: it is damaged, or its 52418 bytes end too early"),
        ("truncated_header.jpg", "end too early"),
        ("zero_bytes.jpg", "it has no bytes"),
        ("zero_width.png", "PNG picture"),
        ("zip_named.jpg", "the bytes are a ZIP archive"),
    ];
    let files = fs::read_dir(testdata("images/malformed")).unwrap().count();
    assert_eq!(files, cases.len(), "a malformed file has no expectation");
    for (file, reason) in cases {
        let bytes = read(&format!("images/malformed/{file}"));
        let error = decode(&bytes, &DecodeLimits::default()).unwrap_err().to_string();
        assert!(error.starts_with("cannot decode the "), "{file}: {error}");
        assert!(error.contains(reason), "{file}: {error}");
    }
}

#[test]
fn no_piece_of_a_picture_is_a_picture() {
    for file in ["face.jpg", "astronaut_progressive.jpg", "astronaut_cmyk.jpg", "chelsea.png"] {
        let bytes = read(&format!("images/{file}"));
        for cut in 0..40 {
            // The last cut leaves out a few bytes before JPEG's end marker.
            let end = (bytes.len() - 16) * cut / 39;
            let result = decode(&bytes[..end], &DecodeLimits::default());
            assert!(result.is_err(), "{file}: {end} of {} bytes gave a picture", bytes.len());
        }
    }
}

#[test]
fn the_pixel_limit_is_exact() {
    let bytes = read("images/face.jpg");
    assert!(decode(&bytes, &DecodeLimits { max_pixels: 512 * 355 }).is_ok());
    let tight = DecodeLimits { max_pixels: 512 * 355 - 1 };
    let error = decode(&bytes, &tight).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { width: 512, height: 355, .. }), "{error}");
}

#[test]
fn odd_subsampling_of_four_components_is_refused() {
    // The decoder behind panics on these; see src/decode/jpeg.rs.
    let bytes = read("images/astronaut_cmyk.jpg");
    let frame = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    for component in 0..4 {
        for sampling in [0x12, 0x22, 0x31, 0x41] {
            let mut bytes = bytes.clone();
            bytes[frame + 11 + component * 3] = sampling;
            let result = decode(&bytes, &DecodeLimits::default());
            assert!(result.is_err(), "component {component} sampling {sampling:#x}");
        }
    }
}

fn filter(name: &str) -> Filter {
    serde_json::from_value(Value::from(name)).unwrap()
}

/// The pictures of `make_resize_cases.py`.
fn generated(samples: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut data = Vec::new();
    while data.len() < samples {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let value = (state >> 56) as u8;
        let value = if seed % 3 == 1 { u8::from(value >= 128) * 255 } else { value };
        let run = if seed % 3 == 2 { 1 + (state >> 48) % 4 } else { 1 };
        data.extend((0..run).map(|_| value));
    }
    data.truncate(samples);
    data
}

#[test]
fn small_pictures_are_resized_as_the_libraries_do() {
    let cases = String::from_utf8(read("resized/cases.txt")).unwrap();
    let results = read("resized/cases.bin");
    let mut rest = results.as_slice();
    for case in cases.lines() {
        let (name, numbers) = case.split_once(' ').unwrap();
        let numbers: Vec<u32> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
        let [channels, source_width, source_height, width, height, seed] = numbers[..] else {
            panic!("{case}")
        };
        let picture = Picture {
            width: source_width,
            height: source_height,
            channels: channels as u8,
            pixels: generated((source_width * source_height * channels) as usize, seed.into()),
            format: PictureFormat::Png,
            orientation: 1,
        };
        let color = if channels == 1 { Color::Gray } else { Color::Rgb };
        let dtype = DType::U8;
        let input =
            ImageInput { width, height, color, dtype, filter: filter(name), ..Default::default() };
        let actual = preprocess(&picture, &input).unwrap().tensor;
        let expected = rest.split_off(..(width * height * channels) as usize).unwrap();
        assert!(actual.bytes() == expected, "{case}: {}", differences(actual.bytes(), expected));
    }
    assert!(rest.is_empty());
}

#[test]
fn real_pictures_arrive_as_the_libraries_prepare_them() {
    let stretch = |filter: &str| ImageInput { filter: self::filter(filter), ..Default::default() };
    let ways = [
        ("__pil_bilinear_", stretch("pillow-bilinear")),
        ("__pil_bicubic_", stretch("pillow-bicubic")),
        ("__cv2_linear_", stretch("opencv-linear")),
        ("__cv2_cubic_", stretch("opencv-cubic")),
        ("__cv2_area_", stretch("opencv-area")),
        (
            "__center_crop_224_of_256_",
            ImageInput { resize: Resize::Crop, crop_fraction: 0.875, ..stretch("pillow-bilinear") },
        ),
        ("__white_pil_lanczos_", ImageInput { alpha: Alpha::White, ..stretch("pillow-lanczos") }),
        ("__gray_pil_bicubic_", ImageInput { color: Color::Gray, ..stretch("pillow-bicubic") }),
        (
            "__letterbox_cv2_linear_",
            ImageInput { resize: Resize::Letterbox, ..stretch("opencv-linear") },
        ),
    ];
    let mut seen = 0;
    for entry in fs::read_dir(testdata("resized")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".png") else { continue };
        let (source, way) = stem.split_once("__").unwrap();
        let (_, input) = ways.iter().find(|(part, _)| stem.contains(part)).unwrap();
        let (width, height) = way.rsplit_once('_').unwrap().1.split_once('x').unwrap();
        let mut input = ImageInput {
            width: width.parse().unwrap(),
            height: height.parse().unwrap(),
            dtype: DType::U8,
            ..input.clone()
        };
        if stem.starts_with("cat_720p__letterbox") {
            input.pad = [0, 64, 255];
        }
        let format = ["jpg", "png"]
            .into_iter()
            .find(|format| testdata(&format!("images/{source}.{format}")).exists())
            .unwrap();
        let prepared = preprocess(&picture(&format!("images/{source}.{format}")), &input).unwrap();
        let expected = picture(&format!("resized/{name}")).pixels;
        let actual = prepared.tensor.bytes();
        assert!(actual == expected, "{name}: {}", differences(actual, &expected));
        seen += 1;
    }
    assert_eq!(seen, 22);
}

#[test]
fn input_tensors_have_the_bits_of_the_references() {
    let input = |filter: &str, width, height, mean: f32, std: f32| ImageInput {
        width,
        height,
        filter: self::filter(filter),
        mean: vec![mean],
        std: vec![std],
        ..Default::default()
    };
    let nchw = |input| ImageInput { layout: Layout::Nchw, ..input };
    let bgr = |input| ImageInput { color: Color::Bgr, ..input };
    let (pillow, opencv) = ("pillow-bilinear", "opencv-linear");
    // sha256 of the float32 arrays that NumPy gave for the reference runs of real models.
    let cases = [
        (
            "cat_720p.jpg",
            input(pillow, 224, 224, 127.5, 127.5),
            "38b77b89f15532f512d9ce439cf94e8410ba29dac7a27eb7f91d20a787fc35bb",
        ),
        (
            "parrot.jpg",
            nchw(input(pillow, 224, 224, 127.5, 127.5)),
            "1d7674bdcb14de99b379f40a6c3c61a4dda9e844bf6ac2657f4697f2f61ee71c",
        ),
        (
            "astronaut.png",
            input(pillow, 96, 96, 0.0, 255.0),
            "730cd4d63094b7641c9adb1acc194faca8bcbf4e4a074d75003693e7ce4c4cf4",
        ),
        (
            "chelsea_exif6.jpg",
            bgr(nchw(input(opencv, 352, 352, 0.0, 255.0))),
            "c51e4fe98dadc3c11abec9a60052619003fb61aa8ac7689ed625598ac4f198c1",
        ),
        (
            "grace_hopper_q90.jpg",
            nchw(input(opencv, 320, 240, 127.0, 128.0)),
            "8b85d52d8b97ca9fff42bdf01c10b945c692b8754f31b0960a6421922a7bfb28",
        ),
        (
            "face.jpg",
            bgr(nchw(input(opencv, 154, 107, 127.5, 128.0))),
            "6f7f720aaa98c11d3d7d542d6943cc86eada1bb800c2dd2f81f4deb619d1c634",
        ),
    ];
    for (file, input, expected) in cases {
        let tensor = preprocess(&picture(&format!("images/{file}")), &input).unwrap().tensor;
        assert_eq!(sha256(tensor.bytes()), expected, "{file}");
    }
}
