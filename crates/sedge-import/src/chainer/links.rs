//! The networks of `chainer.links.model.vision` (Chainer 7.8.1).

use sedge_graph::{Graph, ValueId};

use super::Error;
use super::network::{Conv, Network};
use super::weights::Weights;
use crate::Fact;

/// Names of the classes.
pub const NAMES: [&str; 6] = [
    "GoogLeNet",
    "ResNet50Layers",
    "ResNet101Layers",
    "ResNet152Layers",
    "VGG16Layers",
    "VGG19Layers",
];

/// What every one of them takes and gives.
const SIDE: usize = 224;
const CLASSES: usize = 1000;

/// The mean pixels that the modules' `prepare` subtracts, blue first.
const RESNET_MEAN: [f64; 3] = [103.063, 115.903, 123.152];
const VGG_MEAN: [f64; 3] = [103.939, 116.779, 123.68];
const GOOGLENET_MEAN: [f64; 3] = [104.0, 117.0, 123.0];

/// Writes the network of a class: its name, perhaps with its one argument.
pub(super) fn build(link: &str, weights: &mut Weights) -> Result<(Graph, Vec<Fact>), Error> {
    let (name, argument) = link.split_once('(').unwrap_or((link, ")"));
    let facebook = match argument.trim_end_matches(')').replace(' ', "").as_str() {
        "" | "downsample_fb=False" => false,
        "downsample_fb=True" if name.starts_with("ResNet") => true,
        _ => return Err(Error::UnknownLink(link.to_owned())),
    };
    let network = Network::new(weights, [3, SIDE, SIDE]);
    let (graph, mean) = match name {
        "ResNet50Layers" => (resnet(network, [3, 4, 6, 3], facebook)?, RESNET_MEAN),
        "ResNet101Layers" => (resnet(network, [3, 4, 23, 3], facebook)?, RESNET_MEAN),
        "ResNet152Layers" => (resnet(network, [3, 8, 36, 3], facebook)?, RESNET_MEAN),
        "VGG16Layers" => (vgg(network, [2, 2, 3, 3, 3])?, VGG_MEAN),
        "VGG19Layers" => (vgg(network, [2, 2, 4, 4, 4])?, VGG_MEAN),
        "GoogLeNet" => (googlenet(network)?, GOOGLENET_MEAN),
        _ => return Err(Error::UnknownLink(link.to_owned())),
    };
    Ok((graph, facts(name, mean)))
}

/// What the class says of its pictures.
fn facts(name: &str, mean: [f64; 3]) -> Vec<Fact> {
    let origin = format!("prepare() of chainer.links.{name}");
    let say = |key: &str, value: toml::Value| Fact::new(format!("input.0.{key}"), value, &origin);
    vec![
        say("color", "bgr".into()),
        say("resize", "stretch".into()),
        say("scale", 1.0.into()),
        say("mean", mean.to_vec().into()),
        say("std", vec![1.0].into()),
    ]
}

fn conv(from: usize, to: usize, kernel: usize, stride: usize, pad: usize) -> Conv {
    Conv { from, to, kernel, stride, pad, bias: true }
}

fn vgg(mut network: Network<'_>, blocks: [usize; 5]) -> Result<Graph, Error> {
    let mut x = network.input();
    let mut from = 3;
    for (block, (layers, to)) in blocks.into_iter().zip([64, 128, 256, 512, 512]).enumerate() {
        for layer in 0..layers {
            let name = format!("conv{}_{}", block + 1, layer + 1);
            x = network.conv(x, &name, conv(from, to, 3, 1, 1))?;
            x = network.relu(x);
            from = to;
        }
        x = network.max_pool(x, 2, 2, 0);
    }
    x = network.linear(x, "fc6", 512 * 7 * 7, 4096)?;
    x = network.relu(x);
    x = network.linear(x, "fc7", 4096, 4096)?;
    x = network.relu(x);
    x = network.linear(x, "fc8", 4096, CLASSES)?;
    network.finish(x)
}

fn resnet(mut network: Network<'_>, blocks: [usize; 4], facebook: bool) -> Result<Graph, Error> {
    let x = network.input();
    let x = network.conv(x, "conv1", conv(3, 64, 7, 2, 3))?;
    let x = network.batch_norm(x, "bn1", 64)?;
    let x = network.relu(x);
    let mut x = network.max_pool(x, 3, 2, 0);
    let mut from = 64;
    for (stage, layers) in blocks.into_iter().enumerate() {
        let (middle, to) = (64 << stage, 256 << stage);
        let stride = if stage == 0 { 1 } else { 2 };
        for layer in 0..layers {
            let name = match layer {
                0 => format!("res{}/a", stage + 2),
                _ => format!("res{}/b{layer}", stage + 2),
            };
            let stride = if layer == 0 { stride } else { 1 };
            let widths = [from, middle, to];
            x = bottleneck(&mut network, x, &name, widths, stride, facebook)?;
            from = to;
        }
    }
    let x = network.apply("GlobalAveragePool", x);
    let x = network.linear(x, "fc6", from, CLASSES)?;
    network.finish(x)
}

/// `BottleneckA`, whose shortcut is a convolution (`conv4`), and `BottleneckB`, where it is none.
fn bottleneck(
    network: &mut Network<'_>,
    x: ValueId,
    name: &str,
    [from, middle, to]: [usize; 3],
    stride: usize,
    facebook: bool,
) -> Result<ValueId, Error> {
    // Facebook's networks take the step in the second convolution.
    let (first, second) = if facebook { (1, stride) } else { (stride, 1) };
    let shortcut = match name.ends_with("/a") {
        true => normalised(network, x, name, 4, conv(from, to, 1, stride, 0))?,
        false => x,
    };
    let y = normalised(network, x, name, 1, conv(from, middle, 1, first, 0))?;
    let y = network.relu(y);
    let y = normalised(network, y, name, 2, conv(middle, middle, 3, second, 1))?;
    let y = network.relu(y);
    let y = normalised(network, y, name, 3, conv(middle, to, 1, 1, 0))?;
    let sum = network.graph.node("Add").input(y).input(shortcut).output("sum");
    Ok(network.relu(sum))
}

/// Convolution `number` of a block, which has no bias, and its normalisation.
fn normalised(
    network: &mut Network<'_>,
    x: ValueId,
    block: &str,
    number: usize,
    form: Conv,
) -> Result<ValueId, Error> {
    let y = network.conv(x, &format!("{block}/conv{number}"), Conv { bias: false, ..form })?;
    network.batch_norm(y, &format!("{block}/bn{number}"), form.to)
}

/// Channels of an inception: 1x1, before and after 3x3, before and after 5x5, behind the pool.
const INCEPTIONS: [(&str, [usize; 6]); 9] = [
    ("inc3a", [64, 96, 128, 16, 32, 32]),
    ("inc3b", [128, 128, 192, 32, 96, 64]),
    ("inc4a", [192, 96, 208, 16, 48, 64]),
    ("inc4b", [160, 112, 224, 24, 64, 64]),
    ("inc4c", [128, 128, 256, 24, 64, 64]),
    ("inc4d", [112, 144, 288, 32, 64, 64]),
    ("inc4e", [256, 160, 320, 32, 128, 128]),
    ("inc5a", [256, 160, 320, 32, 128, 128]),
    ("inc5b", [384, 192, 384, 48, 128, 128]),
];

fn googlenet(mut network: Network<'_>) -> Result<Graph, Error> {
    let norm = |network: &mut Network<'_>, x| network.local_response(x, 5, 1.0, 1e-4 / 5.0);
    let x = network.input();
    let x = network.conv(x, "conv1", conv(3, 64, 7, 2, 3))?;
    let x = network.relu(x);
    let x = network.max_pool(x, 3, 2, 0);
    let x = norm(&mut network, x);
    let x = network.conv(x, "conv2_reduce", conv(64, 64, 1, 1, 0))?;
    let x = network.relu(x);
    let x = network.conv(x, "conv2", conv(64, 192, 3, 1, 1))?;
    let x = network.relu(x);
    let x = norm(&mut network, x);
    let mut x = network.max_pool(x, 3, 2, 0);
    let mut from = 192;
    for (name, widths) in INCEPTIONS {
        if name == "inc4a" || name == "inc5a" {
            x = network.max_pool(x, 3, 2, 0);
        }
        x = inception(&mut network, x, name, from, widths)?;
        from = widths[0] + widths[2] + widths[4] + widths[5];
    }
    let x = network.average_pool(x, 7, 1);
    let x = network.linear(x, "loss3_fc", from, CLASSES)?;
    // Two more classifiers that only help training.
    for other in ["loss1_", "loss2_"] {
        network.weights.ignore(other);
    }
    network.finish(x)
}

fn inception(
    network: &mut Network<'_>,
    x: ValueId,
    name: &str,
    from: usize,
    [one, before_3, three, before_5, five, pooled]: [usize; 6],
) -> Result<ValueId, Error> {
    let part = |network: &mut Network<'_>, x, part: &str, form| {
        network.conv(x, &format!("{name}/{part}"), form)
    };
    let first = part(network, x, "conv1", conv(from, one, 1, 1, 0))?;
    let y = part(network, x, "proj3", conv(from, before_3, 1, 1, 0))?;
    let y = network.relu(y);
    let second = part(network, y, "conv3", conv(before_3, three, 3, 1, 1))?;
    let y = part(network, x, "proj5", conv(from, before_5, 1, 1, 0))?;
    let y = network.relu(y);
    let third = part(network, y, "conv5", conv(before_5, five, 5, 1, 2))?;
    let y = network.max_pool(x, 3, 1, 1);
    let fourth = part(network, y, "projp", conv(from, pooled, 1, 1, 0))?;
    let all = network.concat(&[first, second, third, fourth]);
    Ok(network.relu(all))
}
