use super::DrawError;

/// An RGB picture, three bytes a pixel, as a PNG file. Fast rather than small: drawn pictures are
/// looked at once.
pub fn encode_png(width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>, DrawError> {
    let bytes = rgb.len();
    let expected = u64::from(width).checked_mul(u64::from(height)).and_then(|n| n.checked_mul(3));
    if u64::try_from(bytes).ok() != expected {
        return Err(DrawError::Size { width, height, bytes });
    }
    let failed = |e: png::EncodingError| DrawError::Encode { width, height, why: e.to_string() };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back_from_its_file() {
        let rgb: Vec<u8> = (0..5 * 3 * 3).collect();
        let file = encode_png(5, 3, &rgb).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut back = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut back).unwrap();
        assert_eq!((info.width, info.height, back), (5, 3, rgb));
        assert!(encode_png(5, 4, &[0; 45]).is_err());
        assert!(encode_png(0, 0, &[]).is_err());
    }
}
