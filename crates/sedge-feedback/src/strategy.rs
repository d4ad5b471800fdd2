use crate::Scores;

/// Which samples are taken. The first five are those of Greengrass V1 (specification, section 4.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// All.
    Everything,
    /// A part of all, by chance.
    Random {
        /// From 0.0, none, to 1.0, all.
        rate: f64,
    },
    /// Those whose best score is low.
    LeastConfidence {
        /// Highest best score that is taken.
        threshold: f64,
    },
    /// Those whose two best scores are close.
    Margin {
        /// Largest difference that is taken.
        threshold: f64,
    },
    /// Those whose scores are spread.
    Entropy {
        /// Entropy in nats above which a sample is taken.
        threshold: f64,
    },
    /// Those in which certain classes are found.
    Classes {
        /// Names of classes, or their numbers.
        classes: Vec<String>,
        /// Least score of what counts as found.
        min_score: f64,
    },
    /// Those with so many objects.
    Detections {
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
        /// Least score of what counts.
        min_score: f64,
    },
}

impl Strategy {
    /// Whether it looks at scores at all.
    pub fn needs_scores(&self) -> bool {
        !matches!(self, Self::Everything | Self::Random { .. })
    }

    /// Whether a sample is taken. `draw` is a random number from 0.0 to less than 1.0.
    pub fn takes(&self, scores: &Scores, draw: f64) -> bool {
        let measure = self.measure(scores);
        match self {
            Self::Everything => true,
            Self::Random { rate } => draw < *rate,
            Self::LeastConfidence { threshold } | Self::Margin { threshold } => {
                measure <= *threshold
            }
            Self::Entropy { threshold } => measure > *threshold,
            Self::Classes { .. } => measure > 0.0,
            Self::Detections { least, most, .. } => {
                (*least as f64..=*most as f64).contains(&measure)
            }
        }
    }

    /// The number that decides: the best score, the difference of the two best, the entropy in
    /// nats, how many of the classes or objects there are. 0 where nothing is measured.
    pub fn measure(&self, scores: &Scores) -> f64 {
        let counted = |fits: &dyn Fn(&crate::Finding) -> bool| {
            scores.findings.iter().filter(|finding| fits(finding)).count() as f64
        };
        match self {
            Self::Everything | Self::Random { .. } => 0.0,
            Self::LeastConfidence { .. } => best_two(&scores.values).0,
            Self::Margin { .. } => {
                let (first, second) = best_two(&scores.values);
                first - second
            }
            Self::Entropy { .. } => entropy(&scores.values),
            Self::Classes { classes, min_score } => counted(&|finding| {
                finding.score >= *min_score
                    && classes.iter().any(|class| {
                        finding.label.as_ref() == Some(class) || *class == finding.class.to_string()
                    })
            }),
            Self::Detections { min_score, .. } => counted(&|finding| finding.score >= *min_score),
        }
    }
}

/// The two largest; 0 for what is not there.
fn best_two(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
    (at(0), at(1))
}

/// Entropy in nats of the values scaled to a sum of 1, which is what "normalised" means in the
/// documentation, by its example: 1.03972 of 0.5, 0.25, 0.25.
fn entropy(values: &[f64]) -> f64 {
    let shares = || values.iter().copied().filter(|value| *value > 0.0);
    let sum: f64 = shares().sum();
    let entropy: f64 = shares().map(|value| value / sum).map(|share| -share * share.ln()).sum();
    // Rounding makes of a single share a little less than nothing.
    entropy.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Finding;

    fn takes(strategy: &Strategy, values: &[f64]) -> bool {
        strategy.takes(&Scores::of_classes(values.to_vec()), 0.5)
    }

    /// The examples of the connector's documentation.
    #[test]
    fn documented_examples_are_taken() {
        let least = Strategy::LeastConfidence { threshold: 0.6 };
        assert!(takes(&least, &[0.2, 0.2, 0.4, 0.2]));
        let margin = Strategy::Margin { threshold: 0.02 };
        assert!(takes(&margin, &[0.3, 0.35, 0.34, 0.01]));
        let entropy = Strategy::Entropy { threshold: 0.75 };
        let scores = Scores::of_classes(vec![0.5, 0.25, 0.25]);
        assert!(entropy.takes(&scores, 0.5));
        assert!((entropy.measure(&scores) - 1.03972).abs() < 1e-5);
    }

    #[test]
    fn bounds_are_as_documented() {
        let cases: [(Strategy, &[f64], bool); 16] = [
            (Strategy::LeastConfidence { threshold: 0.5 }, &[0.5, 0.5], true),
            (Strategy::LeastConfidence { threshold: 0.5 }, &[0.51, 0.49], false),
            (Strategy::LeastConfidence { threshold: 0.0 }, &[], true),
            (Strategy::Margin { threshold: 0.5 }, &[0.75, 0.25], true),
            (Strategy::Margin { threshold: 0.49 }, &[0.75, 0.25], false),
            (Strategy::Margin { threshold: 0.0 }, &[0.5, 0.5], true),
            (Strategy::Margin { threshold: 0.5 }, &[0.75], false),
            (Strategy::Margin { threshold: 0.0 }, &[], true),
            (Strategy::Entropy { threshold: 0.0 }, &[1.0, 0.0], false),
            (Strategy::Entropy { threshold: 0.0 }, &[0.9, 0.1], true),
            (Strategy::Entropy { threshold: 0.0 }, &[], false),
            // Detections do not sum to 1: 0.9 and 0.9 are as even as can be.
            (Strategy::Entropy { threshold: 0.69 }, &[0.9, 0.9], true),
            (Strategy::Entropy { threshold: 0.70 }, &[0.9, 0.9], false),
            (Strategy::Random { rate: 0.51 }, &[], true),
            (Strategy::Random { rate: 0.5 }, &[], false),
            (Strategy::Everything, &[], true),
        ];
        for (strategy, values, expected) in cases {
            assert_eq!(takes(&strategy, values), expected, "{strategy:?} {values:?}");
        }
        for draw in [0.0, 0.3, 1.0_f64.next_down()] {
            let random = |rate| Strategy::Random { rate }.takes(&Scores::default(), draw);
            assert!(!random(0.0) && random(1.0), "{draw}");
        }
    }

    #[test]
    fn classes_and_objects_are_counted() {
        let found = |label: &str, class, score| {
            let label = Some(label.to_owned());
            Finding { class, label, score }
        };
        let scores = Scores::of_objects(vec![
            found("can", 3, 0.9),
            found("can", 3, 0.2),
            found("cat", 7, 0.6),
        ]);
        let classes = |names: &[&str], min_score| {
            let classes = names.iter().map(|&name| name.to_owned()).collect();
            Strategy::Classes { classes, min_score }.takes(&scores, 0.0)
        };
        assert!(classes(&["can"], 0.5) && classes(&["7"], 0.5) && classes(&["dog", "cat"], 0.0));
        assert!(!classes(&["dog"], 0.0) && !classes(&["cat"], 0.7) && !classes(&[], 0.0));
        let detections =
            |least, most| Strategy::Detections { least, most, min_score: 0.5 }.takes(&scores, 0.0);
        assert!(detections(2, 2) && detections(0, 9) && !detections(3, 9) && !detections(0, 1));
    }
}
