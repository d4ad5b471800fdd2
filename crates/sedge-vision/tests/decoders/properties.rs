//! Random tensors: the decoders against the plain implementations of `slow`, and against hostile
//! values.

use proptest::prelude::*;
use sedge_tensor::Tensor;
use sedge_vision::nms::{Detection, Nms, NmsScope};
use sedge_vision::{Answer, Box2d, Decoder, Labels, Object, Output, Placement, Selection};

use crate::slow::{self, Array, Found, sigma};

/// Reproducible numbers in `low..high` (splitmix64).
fn numbers(seed: u64, count: usize, low: f32, high: f32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| low + (high - low) * next()).collect()
}

fn decoder(toml: &str) -> Decoder {
    toml::from_str(toml).unwrap()
}

fn objects(decoder: &Decoder, tensors: &[Tensor], place: &Placement) -> Vec<Object> {
    let names: Vec<String> = (0..tensors.len()).map(|i| format!("out{i}")).collect();
    let output = |(name, tensor)| Output { name, tensor, quantization: None };
    let outputs: Vec<Output<'_>> =
        names.iter().map(String::as_str).zip(tensors).map(output).collect();
    match decoder.decode(&outputs, place, &Labels::default(), Selection::default()).unwrap() {
        Answer::Objects(objects) => objects,
        other => panic!("{other:?}"),
    }
}

/// A picture of any size, scaled to fit the input and centred: not this crate's own arithmetic.
fn letterbox(picture: (u32, u32), input: (u32, u32)) -> Placement {
    let [pw, ph, iw, ih] = [picture.0, picture.1, input.0, input.1].map(f64::from);
    let scale = (iw / pw).min(ih / ph);
    Placement {
        picture_width: picture.0,
        picture_height: picture.1,
        input_width: input.0,
        input_height: input.1,
        scale_x: scale,
        scale_y: scale,
        offset_x: (iw - pw * scale) / 2.0,
        offset_y: (ih - ph * scale) / 2.0,
    }
}

/// All locations are wanted, so that none hides behind another.
const ALL: &str = "nms = { scope = \"none\", max_objects = 100000 }\n";
const SIZE: [f64; 2] = [96.0, 64.0];
const ANCHORS: [[[f64; 2]; 2]; 2] = [[[10.0, 13.0], [16.0, 30.0]], [[33.0, 23.0], [60.0, 45.0]]];
const ANCHORS_TOML: &str = "anchors = [[[10, 13], [16, 30]], [[33, 23], [60, 45]]]\n";

fn place() -> Placement {
    letterbox((300, 280), (96, 64))
}

/// What a location means: its numbers, column, row, stride and anchor.
type Meaning = fn(&[f64], f64, f64, f64, [f64; 2]) -> Found;

fn product(numbers: &[f64], centered: [f64; 4], activate: fn(f64) -> f64) -> Found {
    let classes: Vec<f64> = numbers[5..].iter().map(|&v| activate(v)).collect();
    let (class, score) = slow::argmax(&classes);
    Found { class, score: score * activate(numbers[4]), centered }
}

fn yolo_v3(t: &[f64], x: f64, y: f64, s: f64, a: [f64; 2]) -> Found {
    let centered =
        [(sigma(t[0]) + x) * s, (sigma(t[1]) + y) * s, a[0] * t[2].exp(), a[1] * t[3].exp()];
    product(t, centered, sigma)
}

fn yolo_v5(t: &[f64], x: f64, y: f64, s: f64, a: [f64; 2]) -> Found {
    let centered = [
        (sigma(t[0]) * 2.0 - 0.5 + x) * s,
        (sigma(t[1]) * 2.0 - 0.5 + y) * s,
        (sigma(t[2]) * 2.0).powf(2.0) * a[0],
        (sigma(t[3]) * 2.0).powf(2.0) * a[1],
    ];
    product(t, centered, sigma)
}

fn yolo_x(t: &[f64], x: f64, y: f64, s: f64, _: [f64; 2]) -> Found {
    product(t, [(x + t[0]) * s, (y + t[1]) * s, t[2].exp() * s, t[3].exp() * s], sigma)
}

fn yolo_v8(t: &[f64], x: f64, y: f64, s: f64, _: [f64; 2]) -> Found {
    let side = |i: usize| slow::expectation(&t[i * 16..i * 16 + 16]) * s;
    let (cx, cy) = ((x + 0.5) * s, (y + 0.5) * s);
    let (left, top, right, bottom) = (cx - side(0), cy - side(1), cx + side(2), cy + side(3));
    let classes: Vec<f64> = t[64..].iter().map(|&v| sigma(v)).collect();
    let (class, score) = slow::argmax(&classes);
    let centered = [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top];
    Found { class, score, centered }
}

fn fastest_det(t: &[f64], x: f64, y: f64, s: f64, _: [f64; 2]) -> Found {
    let classes: Vec<f64> = t[5..].iter().map(|&v| sigma(v)).collect();
    let (class, best) = slow::argmax(&classes);
    let centered = [
        (x + t[1].tanh()) * s,
        (y + t[2].tanh()) * s,
        sigma(t[3]) * SIZE[0],
        sigma(t[4]) * SIZE[1],
    ];
    Found { class, score: sigma(t[0]).powf(0.6) * best.powf(0.4), centered }
}

/// Maps of strides 16 and 32 in every layout, each read by plain indexing.
fn check_maps(toml: &str, numbers_each: usize, with_anchors: bool, meaning: Meaning, seed: u64) {
    let count = if with_anchors { 2 } else { 1 };
    for layout in ["maps-nchw", "maps-nhwc", "maps-anchor-first", "rows", "columns"] {
        let mut found = Vec::new();
        let mut tensors = Vec::new();
        let mut rows: Vec<f32> = Vec::new();
        for (scale, stride) in [16usize, 32].into_iter().enumerate() {
            let (w, h, k) = (96 / stride, 64 / stride, numbers_each);
            let values = numbers(seed + scale as u64, count * k * h * w, -3.0, 3.0);
            let shape = match layout {
                "maps-nchw" => vec![1, count * k, h, w],
                "maps-nhwc" => vec![1, h, w, count * k],
                _ => vec![1, count, h, w, k],
            };
            let array = Array { shape: shape.clone(), values: &values };
            for (a, &anchor) in ANCHORS[scale].iter().enumerate().take(count) {
                for y in 0..h {
                    for x in 0..w {
                        let number = |i: usize| match layout {
                            "maps-nchw" => array.at(&[0, a * k + i, y, x]),
                            "maps-nhwc" => array.at(&[0, y, x, a * k + i]),
                            _ => array.at(&[0, a, y, x, i]),
                        };
                        let t: Vec<f64> = (0..k).map(number).collect();
                        found.push(meaning(&t, x as f64, y as f64, stride as f64, anchor));
                    }
                }
            }
            rows.extend_from_slice(&values);
            tensors.push(Tensor::new(shape, values).unwrap());
        }
        let locations = rows.len() / numbers_each;
        if layout == "rows" {
            tensors = vec![Tensor::new([1, locations, numbers_each], rows).unwrap()];
        } else if layout == "columns" {
            let turned = (0..rows.len())
                .map(|i| rows[i % locations * numbers_each + i / locations])
                .collect::<Vec<f32>>();
            tensors = vec![Tensor::new([1, numbers_each, locations], turned).unwrap()];
        } else {
            // With strides given, the order of the outputs does not matter.
            tensors.reverse();
        }
        let anchors = if with_anchors { ANCHORS_TOML } else { "" };
        let decoder = decoder(&format!(
            "kind = \"grid\"\nlayout = \"{layout}\"\nstrides = [16, 32]\n{anchors}{ALL}{toml}"
        ));
        let place = place();
        slow::assert_same(&objects(&decoder, &tensors, &place), found, &place, 0.25);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn raw_yolo_heads(seed: u64, classes in 1usize..6) {
        let seed = seed / 2;
        let v3 = "box_form = \"sigmoid-exp\"\nfields = \"box-objectness-classes\"\n\
                  activation = \"sigmoid\"";
        check_maps(v3, 5 + classes, true, yolo_v3, seed);
        let v5 = "box_form = \"sigmoid-square\"\nfields = \"box-objectness-classes\"\n\
                  activation = \"sigmoid\"";
        check_maps(v5, 5 + classes, true, yolo_v5, seed);
        let x = "box_form = \"offset-exp\"\nfields = \"box-objectness-classes\"\n\
                 activation = \"sigmoid\"";
        check_maps(x, 5 + classes, false, yolo_x, seed);
        let v8 = "box_form = \"distance-bins\"\nfields = \"box-classes\"\n\
                  activation = \"sigmoid\"";
        check_maps(v8, 64 + classes, false, yolo_v8, seed);
        let fastest = "box_form = \"tanh-sigmoid\"\nfields = \"objectness-box-classes\"\n\
                       activation = \"sigmoid\"\nscore_form = \"weighted\"";
        check_maps(fastest, 5 + classes, false, fastest_det, seed);
    }

    #[test]
    fn exported_yolo_rows(seed: u64, count in 1usize..80, classes in 1usize..6, relative: bool) {
        let unit = if relative { [1.0, 1.0] } else { [96.0f32, 64.0] };
        let coordinates = if relative { "relative" } else { "pixels" };
        let raw = numbers(seed, count * (5 + classes), 0.0, 1.0);
        let cell = |row: usize, field: usize| {
            let value = raw[row * (5 + classes) + field];
            if field < 4 { value * unit[field % 2] } else { value }
        };
        let place = place();
        let centered = |row: usize| {
            [0, 1, 2, 3].map(|i| f64::from(cell(row, i)) / f64::from(unit[i % 2]) * SIZE[i % 2])
        };
        for per_class in [false, true] {
            let mode = if per_class { "per-class" } else { "argmax" };
            let head = format!(
                "kind = \"grid\"\nbox_form = \"center-size\"\nclass_mode = \"{mode}\"\n\
                 coordinates = \"{coordinates}\"\n{ALL}"
            );
            // [1, N, 5+C] with objectness, then [1, 4+C, N] without.
            for objectness in [true, false] {
                let fields = 4 + usize::from(objectness) + classes;
                let from = |field: usize| if objectness || field < 4 { field } else { field + 1 };
                let mut found = Vec::new();
                for row in 0..count {
                    let factor = if objectness { f64::from(cell(row, 4)) } else { 1.0 };
                    let scores: Vec<f64> =
                        (0..classes).map(|c| factor * f64::from(cell(row, 5 + c))).collect();
                    let best = slow::argmax(&scores).0;
                    for (class, &score) in scores.iter().enumerate() {
                        if per_class || class == best {
                            found.push(Found { class, score, centered: centered(row) });
                        }
                    }
                }
                let (tensor, toml) = if objectness {
                    let values = (0..count * fields).map(|i| cell(i / fields, from(i % fields)));
                    let tensor = Tensor::new([1, count, fields], values.collect::<Vec<f32>>());
                    (tensor, "layout = \"rows\"\nfields = \"box-objectness-classes\"")
                } else {
                    let values = (0..count * fields).map(|i| cell(i % count, from(i / count)));
                    let tensor = Tensor::new([1, fields, count], values.collect::<Vec<f32>>());
                    (tensor, "layout = \"columns\"\nfields = \"box-classes\"")
                };
                let decoder = decoder(&format!("{head}{toml}"));
                let objects = objects(&decoder, &[tensor.unwrap()], &place);
                slow::assert_same(&objects, found, &place, 0.25);
            }
        }
    }

    #[test]
    fn suppression_is_greedy(seed: u64, count in 0usize..60, threshold in 0.0f32..1.0) {
        let raw = numbers(seed, count * 6, 0.0, 1.0);
        let detections: Vec<Detection> = raw
            .chunks_exact(6)
            .map(|r| Detection {
                class: (r[0] * 3.0) as usize,
                // Few different scores, so that many are equal.
                score: (r[1] * 8.0).floor() / 8.0,
                bounds: Box2d { xmin: r[2], ymin: r[3], xmax: r[2] + r[4], ymax: r[3] + r[5] },
            })
            .collect();
        let plain: Vec<(usize, f64, [f64; 4])> = detections
            .iter()
            .map(|d| {
                let b = d.bounds;
                (d.class, f64::from(d.score), [b.xmin, b.ymin, b.xmax, b.ymax].map(f64::from))
            })
            .collect();
        for agnostic in [false, true] {
            let scope = if agnostic { NmsScope::ClassAgnostic } else { NmsScope::PerClass };
            let nms = Nms { scope, iou_threshold: threshold, ..Nms::default() };
            let kept = nms.run(detections.iter().copied(), &place());
            let expected: Vec<Detection> = slow::suppress(&plain, f64::from(threshold), agnostic)
                .into_iter()
                .map(|i| detections[i])
                .collect();
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn a_letterbox_is_undone(
        picture in (1u32..5000, 1u32..5000),
        input in (16u32..700, 16u32..700),
        corner in (0.0f64..0.9, 0.0f64..0.9),
        size in (0.05f64..1.0, 0.05f64..1.0),
    ) {
        let place = letterbox(picture, input);
        let [pw, ph] = [f64::from(picture.0), f64::from(picture.1)];
        let x = [corner.0 * pw, (corner.0 + size.0).min(1.0) * pw];
        let y = [corner.1 * ph, (corner.1 + size.1).min(1.0) * ph];
        let row: Vec<f32> = [
            3.0,
            0.5,
            x[0] * place.scale_x + place.offset_x,
            y[0] * place.scale_y + place.offset_y,
            x[1] * place.scale_x + place.offset_x,
            y[1] * place.scale_y + place.offset_y,
        ]
        .map(|v| v as f32)
        .to_vec();
        let decoder = decoder("kind = \"detection-rows\"\ncoordinates = \"pixels\"");
        let found = objects(&decoder, &[Tensor::new([1, 1, 6], row).unwrap()], &place);
        let object = &found[0];
        // One part in 2^22 of the input, in pixels of the picture.
        let near = |a: f32, b: f64, scale: f64, input: u32| {
            (f64::from(a) - b).abs() <= f64::from(input) / scale / 4_194_304.0 + 1e-3
        };
        prop_assert!(near(object.bounds.xmin, x[0], place.scale_x, input.0));
        prop_assert!(near(object.bounds.xmax, x[1], place.scale_x, input.0));
        prop_assert!(near(object.bounds.ymin, y[0], place.scale_y, input.1));
        prop_assert!(near(object.bounds.ymax, y[1], place.scale_y, input.1));
        prop_assert!((f64::from(object.box_normalized.xmin) * pw - x[0]).abs() < 1e-2);
    }

    #[test]
    fn anchors_are_decoded(seed: u64, classes in 2usize..5, softmax: bool, yx: bool) {
        // Two maps, two sizes and one ratio each.
        let (maps, sizes, ratio) = ([[6usize, 4], [3, 2]], [[0.2, 0.3], [0.4, 0.6]], 2.0f64);
        let mut anchors: Vec<[f64; 4]> = Vec::new();
        for (map, size) in maps.iter().zip(&sizes) {
            for cell in 0..map[0] * map[1] {
                let cx = ((cell % map[0]) as f64 + 0.5) / map[0] as f64;
                let cy = ((cell / map[0]) as f64 + 0.5) / map[1] as f64;
                anchors.push([cx, cy, size[0], size[0]]);
                anchors.push([cx, cy, size[1], size[1]]);
                anchors.push([cx, cy, size[0] * ratio.sqrt(), size[0] / ratio.sqrt()]);
            }
        }
        let n = anchors.len();
        let regressions = numbers(seed, n * 4, -3.0, 3.0);
        let logits = numbers(!seed, n * classes, -4.0, 4.0);
        let place = place();
        let mut found = Vec::new();
        for (i, a) in anchors.iter().enumerate() {
            let t = |j: usize| f64::from(regressions[i * 4 + if yx { j ^ 1 } else { j }]);
            let centered = [
                (a[0] + t(0) * 0.1 * a[2]) * SIZE[0],
                (a[1] + t(1) * 0.1 * a[3]) * SIZE[1],
                a[2] * (t(2) * 0.2).exp() * SIZE[0],
                a[3] * (t(3) * 0.2).exp() * SIZE[1],
            ];
            let row: Vec<f64> =
                (0..classes).map(|c| f64::from(logits[i * classes + c])).collect();
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            for (class, &v) in row.iter().enumerate().skip(1) {
                let score = if softmax { v.exp() / sum } else { sigma(v) };
                found.push(Found { class, score, centered });
            }
        }
        let activation = if softmax { "softmax" } else { "sigmoid" };
        let axes = if yx { "yx" } else { "xy" };
        let decoder = decoder(&format!(
            "kind = \"ssd-anchors\"\nbox_form = \"center-variance\"\nbackground = 0\n\
             class_mode = \"per-class\"\nscore_threshold = 0.25\naxes = \"{axes}\"\n\
             boxes = \"out0\"\nactivation = \"{activation}\"\n{ALL}\
             anchors = {{ maps = [[6, 4], [3, 2]], sizes = [[0.2, 0.3], [0.4, 0.6]], \
             aspect_ratios = [[2.0]] }}"
        ));
        let tensors = [
            Tensor::new([1, n, 4], regressions).unwrap(),
            Tensor::new([1, n, classes], logits).unwrap(),
        ];
        slow::assert_same(&objects(&decoder, &tensors, &place), found, &place, 0.25);
    }
}

/// One of each decoder, with every layout of the grid.
fn every_decoder() -> Vec<Decoder> {
    let mut all: Vec<String> = [
        "kind = \"classes\"\nactivation = \"softmax\"",
        "kind = \"tensor\"",
        "kind = \"tflite-detection\"",
        "kind = \"ids-scores-boxes\"",
        "kind = \"detection-rows\"",
        "kind = \"ssd-anchors\"\nbox_form = \"corners\"",
        "kind = \"ssd-anchors\"\nbox_form = \"center-variance\"\n\
         anchors = { maps = [[4294967295, 4294967295]], sizes = [[1, 2]], steps = [1e-30] }",
    ]
    .map(String::from)
    .to_vec();
    for layout in ["maps-nchw", "maps-nhwc", "maps-anchor-first", "rows", "columns"] {
        for form in ["center-size", "sigmoid-exp", "offset-exp", "distance-bins", "tanh-sigmoid"] {
            for rest in ["", "strides = [4294967295, 1]", "anchors = [[[1, 1e30]]]"] {
                all.push(format!(
                    "kind = \"grid\"\nlayout = \"{layout}\"\nbox_form = \"{form}\"\nbins = 1\n\
                     fields = \"objectness-box-classes\"\nactivation = \"softmax\"\n{rest}"
                ));
            }
        }
    }
    all.iter().map(|toml| decoder(toml)).collect()
}

fn hostile_tensor() -> impl Strategy<Value = Tensor> {
    let dimension = prop_oneof![Just(0usize), Just(1), Just(4), Just(6), 0usize..9];
    let shape = prop::collection::vec(dimension, 0..6);
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e30, -1.0, 0.0, 0.9];
    (shape, prop::collection::vec(prop::sample::select(special.to_vec()), 1..8)).prop_map(
        |(mut shape, pattern)| {
            shape.truncate(5);
            if let Some(first) = shape.first_mut().filter(|d| **d > 4) {
                *first = 1;
            }
            let count = shape.iter().product();
            let values: Vec<f32> = pattern.iter().copied().cycle().take(count).collect();
            Tensor::new(shape, values).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn hostile_tensors_give_finite_answers_or_errors(
        tensors in prop::collection::vec(hostile_tensor(), 0..5),
        degenerate: bool,
    ) {
        let mut place = letterbox((300, 280), (96, 64));
        if degenerate {
            place = Placement { picture_width: 0, input_height: 0, scale_x: 0.0, ..place };
        }
        let names = ["scores", "boxes", "count", "classes", "more"];
        let outputs: Vec<Output<'_>> = tensors
            .iter()
            .zip(names)
            .map(|(tensor, name)| Output { name, tensor, quantization: None })
            .collect();
        for decoder in every_decoder() {
            let answer =
                decoder.decode(&outputs, &place, &Labels::default(), Selection::default());
            if let Ok(Answer::Objects(objects)) = answer {
                for o in objects {
                    let b = o.bounds;
                    let all = [o.score, b.xmin, b.ymin, b.xmax, b.ymax, o.box_normalized.xmax];
                    prop_assert!(all.iter().all(|v| v.is_finite()), "{o:?}");
                }
            }
        }
    }
}
