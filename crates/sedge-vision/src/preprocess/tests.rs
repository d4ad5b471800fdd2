use super::*;
use crate::input::{Alpha, Filter, Resize};
use crate::picture::PictureFormat;

fn picture(width: u32, height: u32, channels: u8, pixels: Vec<u8>) -> Picture {
    Picture { width, height, channels, pixels, format: PictureFormat::Png, orientation: 1 }
}

fn input(width: u32, height: u32) -> ImageInput {
    ImageInput { width, height, dtype: DType::U8, ..Default::default() }
}

#[test]
fn color_and_layout_decide_where_a_sample_goes() {
    let rgb = picture(2, 1, 3, vec![1, 2, 3, 4, 5, 6]);
    let gray = picture(2, 1, 1, vec![7, 8]);
    let cases: [(&Picture, Color, Layout, &[u8]); 7] = [
        (&rgb, Color::Rgb, Layout::Nhwc, &[1, 2, 3, 4, 5, 6]),
        (&rgb, Color::Bgr, Layout::Nhwc, &[3, 2, 1, 6, 5, 4]),
        (&rgb, Color::Rgb, Layout::Nchw, &[1, 4, 2, 5, 3, 6]),
        (&rgb, Color::Bgr, Layout::Nchw, &[3, 6, 2, 5, 1, 4]),
        (&gray, Color::Rgb, Layout::Nchw, &[7, 8, 7, 8, 7, 8]),
        (&gray, Color::Gray, Layout::Nhwc, &[7, 8]),
        (&rgb, Color::Gray, Layout::Nchw, &[2, 5]),
    ];
    for (picture, color, layout, expected) in cases {
        let input = ImageInput { color, layout, ..input(2, 1) };
        let tensor = preprocess(picture, &input).unwrap().tensor;
        assert_eq!(tensor.bytes(), expected, "{color:?} {layout:?}");
        assert_eq!(tensor.shape(), input.shape());
    }
}

#[test]
fn values_are_stored_as_numpy_would() {
    // One pixel of value 200 through each type; integers round half to even and saturate.
    let pixel = picture(1, 1, 1, vec![200]);
    let to_f32 = |dtype, scale, mean: f32, std: f32| {
        let (mean, std) = (vec![mean], vec![std]);
        let input = ImageInput { dtype, scale, mean, std, color: Color::Gray, ..input(1, 1) };
        preprocess(&pixel, &input).unwrap().tensor.to_f32().unwrap()[0]
    };
    let cases = [
        (DType::F32, 1.0, 127.5, 127.5, (200f32 - 127.5) / 127.5),
        (DType::F32, 1.0, 0.0, 255.0, 200f32 / 255.0),
        (DType::F16, 1.0, 0.0, 255.0, 0.784_179_7),
        (DType::Bf16, 1.0, 0.0, 255.0, 0.785_156_25),
        (DType::F64, 1.0, 0.0, 255.0, 200f32 / 255.0),
        (DType::I8, 1.0, 128.0, 1.0, 72.0),
        (DType::I8, 1.0, 0.0, 1.0, 127.0),
        (DType::U8, 1.0, 250.0, 1.0, 0.0),
        (DType::U8, 1.0, 0.0, 400.0, 0.0),
        (DType::U8, 1.0, 0.0, 80.0, 2.0),
        (DType::I32, 1.0, 0.0, -80.0, -2.0),
        (DType::U16, 1000.0, 0.0, 1.0, 65535.0),
        (DType::I16, -1000.0, 0.0, 1.0, -32768.0),
    ];
    for (dtype, scale, mean, std, expected) in cases {
        assert_eq!(to_f32(dtype, scale, mean, std), expected, "{dtype} {scale} {mean} {std}");
    }
}

#[test]
fn each_channel_has_its_own_mean_and_std_in_tensor_order() {
    let (mean, std) = (vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 4.0]);
    let input = ImageInput { mean, std, dtype: DType::F32, color: Color::Bgr, ..input(1, 1) };
    let tensor = preprocess(&picture(1, 1, 3, vec![11, 22, 33]), &input).unwrap().tensor;
    assert_eq!(&*tensor.view::<f32>().unwrap(), [32.0, 10.0, 2.0]);
}

#[test]
fn bars_have_the_pad_colour_and_the_picture_lies_between() {
    let wide = picture(4, 2, 3, [9, 8, 7].repeat(8));
    for (color, bar, pixel) in
        [(Color::Rgb, [1, 2, 3], [9, 8, 7]), (Color::Bgr, [3, 2, 1], [7, 8, 9])]
    {
        let resize = Resize::Letterbox;
        let input = ImageInput { resize, color, pad: [1, 2, 3], ..input(2, 4) };
        let Prepared { tensor, placement } = preprocess(&wide, &input).unwrap();
        let expected = [bar, bar, pixel, pixel, bar, bar, bar, bar].concat();
        assert_eq!(tensor.bytes(), expected);
        assert_eq!((placement.scale_x, placement.scale_y), (0.5, 0.5));
        assert_eq!((placement.offset_x, placement.offset_y), (0.0, 1.0));
    }
}

#[test]
fn orientation_is_undone_before_the_fit() {
    let stored = Picture { orientation: 6, ..picture(3, 1, 1, vec![1, 2, 3]) };
    let upright = ImageInput { color: Color::Gray, ..input(1, 3) };
    assert_eq!(preprocess(&stored, &upright).unwrap().tensor.bytes(), [1, 2, 3]);
    assert_eq!(preprocess(&stored, &upright).unwrap().placement.picture_height, 3);
    let orientation = Orientation::Ignore;
    let ignored = ImageInput { orientation, color: Color::Gray, ..input(3, 1) };
    assert_eq!(preprocess(&stored, &ignored).unwrap().tensor.bytes(), [1, 2, 3]);
}

#[test]
fn wrong_settings_are_errors_that_name_the_key() {
    let good = picture(1, 1, 1, vec![0]);
    let cases = [
        ("width", ImageInput::default()),
        ("width", input(u32::MAX, u32::MAX)),
        ("mean", ImageInput { mean: vec![1.0, 2.0], ..input(1, 1) }),
        ("mean", ImageInput { mean: vec![f32::NAN], ..input(1, 1) }),
        ("std", ImageInput { std: vec![], ..input(1, 1) }),
        ("std", ImageInput { std: vec![1.0, 0.0, 1.0], ..input(1, 1) }),
        ("scale", ImageInput { scale: f32::INFINITY, ..input(1, 1) }),
        ("dtype", ImageInput { dtype: DType::String, ..input(1, 1) }),
        ("crop_fraction", ImageInput { resize: Resize::Crop, crop_fraction: 0.0, ..input(1, 1) }),
    ];
    for (expected, input) in cases {
        let error = preprocess(&good, &input).unwrap_err();
        assert!(
            matches!(error, PreprocessError::Setting { key, .. } if key == expected),
            "{error}"
        );
        assert!(error.to_string().contains("Hint: "), "{error}");
    }
    for bad in
        [picture(0, 1, 1, vec![]), picture(2, 2, 3, vec![0; 11]), picture(1, 1, 2, vec![0; 2])]
    {
        assert!(matches!(preprocess(&bad, &input(1, 1)), Err(PreprocessError::Picture { .. })));
    }
}

#[test]
fn the_explanation_tells_every_step() {
    let stored = Picture { orientation: 8, ..picture(200, 100, 4, vec![0; 200 * 100 * 4]) };
    let input = ImageInput {
        alpha: Alpha::White,
        color: Color::Gray,
        resize: Resize::Crop,
        crop_fraction: 0.875,
        filter: Filter::OpencvArea,
        mean: vec![127.5],
        std: vec![127.5],
        ..input(28, 28)
    };
    assert_eq!(
        explain(&stored, &input).unwrap(),
        [
            "decode: 200 x 100 RGBA pixels from PNG",
            "orientation: EXIF 8 undone, now 100 x 200",
            "alpha: blended onto white",
            "color: luma (BT.601, as Pillow's L)",
            "resize: scaled to cover to 32 x 64, opencv-area",
            "crop: 28 x 28 from column 2, row 18",
            "normalise: (pixel * 1 - 127.5) / 127.5",
            "store: u8 NHWC gray [1, 28, 28, 1], rounded half to even and saturated",
        ]
    );
    let gray = picture(4, 2, 1, vec![0; 8]);
    let input = ImageInput { resize: Resize::Letterbox, dtype: DType::F32, ..self::input(4, 4) };
    assert_eq!(
        explain(&gray, &input).unwrap()[1..4],
        [
            "resize: none, already 4 x 2",
            "letterbox: into 4 x 4 at column 0, row 1, bars [114, 114, 114]",
            "color: gray copied to three channels",
        ]
    );
}
