//! Which results share memory.

use super::step::Step;

/// Lengths of the buffers, and which of them hold the places that stay.
#[derive(Debug, PartialEq)]
pub(super) struct Memory {
    pub(super) buffers: Vec<usize>,
    pub(super) fixed: Vec<usize>,
}

/// Gives places that are never needed at once the same buffer and rewrites the steps to name
/// buffers. `sizes` has the bytes of every place; those in `fixed` keep a buffer for themselves.
/// `None` when a step reads what no step before it made.
pub(super) fn share(steps: &mut [Step], sizes: &[usize], fixed: &[usize]) -> Option<Memory> {
    let mut last_use = vec![0; sizes.len()];
    for (i, step) in steps.iter().enumerate() {
        step.bytes_in.iter().chain(&step.bytes_out).for_each(|&place| last_use[place] = i);
    }
    let mut buffers: Vec<usize> = fixed.iter().map(|&place| sizes[place]).collect();
    let mut buffer_of: Vec<Option<usize>> = vec![None; sizes.len()];
    fixed.iter().enumerate().for_each(|(buffer, &place)| buffer_of[place] = Some(buffer));
    let mut free: Vec<usize> = Vec::new();
    for (i, step) in steps.iter_mut().enumerate() {
        if let Some(place) = step.bytes_out {
            // Operands are still in use here, so a result never shares their memory.
            let fit = |&f: &usize| {
                let has = buffers[free[f]];
                (has < sizes[place], has.abs_diff(sizes[place]))
            };
            let buffer = match (0..free.len()).min_by_key(fit) {
                Some(best) => free.swap_remove(best),
                None => {
                    buffers.push(0);
                    buffers.len() - 1
                }
            };
            buffers[buffer] = buffers[buffer].max(sizes[place]);
            buffer_of[place] = Some(buffer);
            step.bytes_out = Some(buffer);
        }
        let mut done: Vec<usize> = Vec::new();
        for place in &mut step.bytes_in {
            let buffer = buffer_of[*place]?;
            if last_use[*place] == i && !fixed.contains(place) && !done.contains(&buffer) {
                done.push(buffer);
            }
            *place = buffer;
        }
        free.extend(done);
    }
    Some(Memory { buffers, fixed: (0..fixed.len()).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::step::Kernel;
    use super::*;

    fn step(from: &[usize], to: usize) -> Step {
        Step {
            kernel: Kernel::Concat { each: Vec::new() },
            bytes_in: from.to_vec(),
            bytes_out: Some(to),
            length: 0,
            tensors_in: Vec::new(),
            tensors_out: Vec::new(),
        }
    }

    #[test]
    fn a_chain_needs_two_buffers_and_a_branch_three() {
        let mut chain = [step(&[], 0), step(&[0], 1), step(&[1], 2), step(&[2], 3)];
        let memory = share(&mut chain, &[5, 7, 9, 2], &[]).unwrap();
        assert_eq!(memory.buffers, [9, 7]);
        // The first result is read again by the last step.
        let mut branch = [step(&[], 0), step(&[0], 1), step(&[1], 2), step(&[2, 0], 3)];
        assert_eq!(share(&mut branch, &[4; 4], &[]).unwrap().buffers.len(), 3);
        assert_eq!(branch[3].bytes_out, branch[1].bytes_out);
    }

    #[test]
    fn constants_keep_their_memory() {
        let mut steps = [step(&[0], 1), step(&[1], 2), step(&[2, 0], 3)];
        let memory = share(&mut steps, &[8, 8, 8, 8], &[0]).unwrap();
        assert_eq!((memory.fixed, memory.buffers.len()), (vec![0], 3));
        assert_eq!(steps[2].bytes_in[1], 0);
        assert!(steps.iter().all(|step| step.bytes_out != Some(0)));
    }

    #[test]
    fn what_nobody_made_is_refused() {
        assert_eq!(share(&mut [step(&[0], 1)], &[1, 1], &[]), None);
    }
}
