/// Why an operator is refused: one of few reasons, each with a way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Reason {
    Control,
    Recurrent,
    Words,
    Random,
    Complex,
    Volumes,
    StableHlo,
    Unwritten,
    /// A number that the schema keeps for itself.
    Marker,
}

impl Reason {
    /// Every reason, in the order in which pages list them.
    pub const ALL: [Reason; 9] = [
        Reason::Control,
        Reason::Recurrent,
        Reason::Words,
        Reason::Random,
        Reason::Complex,
        Reason::Volumes,
        Reason::StableHlo,
        Reason::Unwritten,
        Reason::Marker,
    ];

    /// What such operators have in common, as the head of a list of them.
    pub fn what(self) -> &'static str {
        match self {
            Reason::Control => "loops, conditions and calls",
            Reason::Recurrent => "recurrent layers, which carry a state along",
            Reason::Words => "tables of words",
            Reason::Random => "random numbers, which would give every request another answer",
            Reason::Complex => "complex numbers",
            Reason::Volumes => "convolutions over three dimensions",
            Reason::StableHlo => "operators of StableHLO that the converter left as they were",
            Reason::Unwritten => "not written yet: no network for pictures was met that has them",
            Reason::Marker => "numbers that the schema keeps for itself, in no sound file",
        }
    }

    /// What the model's owner can do.
    pub fn hint(self) -> &'static str {
        match self {
            Reason::Control => {
                "export the part before or behind loops and conditions, or a model without them"
            }
            Reason::Recurrent => {
                "the model keeps variables from one step to the next, which a service has none of; \
                 export it with its state as inputs and outputs"
            }
            Reason::Words => {
                "words become numbers before the model: export the part behind its tables"
            }
            Reason::Random => "export the model for inference, without sampling and dropout",
            Reason::Complex | Reason::Volumes | Reason::Unwritten => {
                "export the model as ONNX and run it with --engine onnxruntime"
            }
            Reason::StableHlo => {
                "convert again to TensorFlow Lite's own operators, or export the model as ONNX"
            }
            Reason::Marker => "the file is damaged: convert the model again",
        }
    }
}
