//! Every key of the configuration file in one table: what is checked, what `sedge config explain`
//! says, and what `packaging/sedge.toml` and `docs/configuration.md` are made from.

mod outward;

use std::sync::LazyLock;

use super::key::Kind::{
    Address, Choice, Integer, Number, Path, Section, Sections, Settings, Sha256, Text, Texts,
    Truth, Url, Whole,
};
use super::key::Unset::{Error, Value as Is, Words};
use super::key::{Key, Kind, Unset};
use crate::ranges::{self, Range};

const fn key(
    path: &'static str,
    kind: Kind,
    unset: Unset,
    help: &'static str,
    more: &'static str,
) -> Key {
    Key { path, kind, unset, help, more }
}

const fn section(path: &'static str, kind: Kind, help: &'static str, more: &'static str) -> Key {
    Key { path, kind, unset: Unset::Value(""), help, more }
}

const fn whole(key: &'static str, least: u64, most: u64) -> Kind {
    Kind::Whole(Range::new(key, least, most))
}

/// As many mebibytes as a device can have: 16 TiB.
const MOST_MIB: u64 = 1 << 24;

/// The keys in the order of the reference: first those above all sections.
pub(crate) static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| [ABOVE, outward::KEYS, SERVICES, outward::OF_SERVICES].concat());

/// Those of the server, and of how models come to be there.
const ABOVE: &[Key] = &[
    key(
        "listen",
        Address,
        Is("\"127.0.0.1:8080\""),
        "Address and port of the HTTP server.",
        "0.0.0.0:8080 answers the whole network, and Sedge has neither passwords nor TLS: put a \
         proxy that has them in front.",
    ),
    key(
        "max_body_mib",
        Whole(ranges::MAX_BODY_MIB),
        Is("64"),
        "Largest request body, in MiB.",
        "One larger is answered 413.",
    ),
    key(
        "max_megapixels",
        Whole(ranges::MAX_MEGAPIXELS),
        Is("64"),
        "Largest picture that is decoded, in millions of pixels.",
        "One larger is an error.",
    ),
    key(
        "page",
        Truth,
        Is("true"),
        "Whether there is a page at / for browsers, and /api/v1, which show what all clients ask.",
        "",
    ),
    key(
        "page_hosts",
        Texts,
        Words("none", "[\"camera.example.org\"]"),
        "Public host names under which browsers may open that page, for a proxy in front.",
        "",
    ),
    key(
        "root",
        Path,
        Is("\"/var/lib/sedge\""),
        "Directory of everything that Sedge keeps: installed models, what is being downloaded.",
        "--root and the variable SEDGE_ROOT say otherwise.",
    ),
    section("store", Section, "Installed models.", ""),
    key(
        "store.keep_versions",
        whole("keep_versions", 1, 100),
        Is("3"),
        "Versions of a model that stay installed, the one in use among them.",
        "",
    ),
    key(
        "store.max_mib",
        whole("max_mib", 1, MOST_MIB),
        Words("as much as there is", "2048"),
        "Most that installed models may take, in MiB.",
        "Versions that are not in use go first, the oldest before the others; what would not fit \
         even so is not installed.",
    ),
    section("download", Section, "How models are fetched.", ""),
    key(
        "download.proxy",
        Url,
        Words(
            "ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and NO_PROXY say",
            "\"http://proxy.example.org:3128\"",
        ),
        "Proxy for all downloads.",
        "",
    ),
    key(
        "download.max_kib_per_s",
        whole("max_kib_per_s", 1, MOST_MIB),
        Words("no limit", "512"),
        "Most that downloads take of the line, in KiB per second.",
        "",
    ),
    key(
        "download.timeout_s",
        whole("timeout_s", 1, 3600),
        Is("30"),
        "Most seconds that a server may stay silent.",
        "Then the download is tried again.",
    ),
    key(
        "download.ca_file",
        Path,
        Words("the system's", "\"/etc/sedge/ca.pem\""),
        "Certificates (PEM) of the authorities that servers are trusted by.",
        "",
    ),
    key(
        "download.max_mib",
        whole("max_mib", 1, MOST_MIB),
        Is("4096"),
        "Largest download, in MiB.",
        "",
    ),
    section(
        "s3",
        Section,
        "Models at s3:// addresses and of SageMaker training jobs, and the samples that leave.",
        "",
    ),
    key(
        "s3.endpoint",
        Url,
        Words(
            "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL says, else Amazon's of the region",
            "\"http://192.168.1.5:9000\"",
        ),
        "Server that speaks S3.",
        "",
    ),
    key(
        "s3.region",
        Text,
        Words(
            "AWS_REGION, AWS_DEFAULT_REGION or the profile says, else us-east-1",
            "\"eu-central-1\"",
        ),
        "Region that requests are signed for.",
        "",
    ),
    key(
        "s3.path_style",
        Truth,
        Words("true with an endpoint of one's own", "true"),
        "Whether the bucket stands in the path and not in the host name, as most servers but \
         Amazon's want it.",
        "",
    ),
    key(
        "s3.credentials",
        Choice(&["auto", "anonymous", "static", "profile", "container", "device"]),
        Is("\"auto\""),
        "Who Sedge is there.",
        "static: the two keys below. profile: ~/.aws. container: the endpoint that a container \
         runtime or Greengrass names. device: the role of cloud.role_alias. anonymous: nobody, for \
         public buckets. auto: the first of environment, profile, container and device that there \
         is.",
    ),
    key(
        "s3.profile",
        Text,
        Words("AWS_PROFILE says, else default", "\"camera\""),
        "Profile in ~/.aws, with credentials = \"profile\".",
        "",
    ),
    key(
        "s3.access_key_id",
        Text,
        Words("none", "\"AKIAIOSFODNN7EXAMPLE\""),
        "Id of the access key, with credentials = \"static\".",
        "",
    ),
    key(
        "s3.secret_access_key_file",
        Path,
        Words("none", "\"/etc/sedge/s3.secret\""),
        "File with the secret of that key, with credentials = \"static\".",
        "Only the user sedge should be able to read it.",
    ),
    section("trust", Section, "Whose models are installed.", ""),
    key(
        "trust.keys",
        Texts,
        Words("none", "[\"/etc/sedge/release.pub\"]"),
        "Keys whose signatures count: files of `sedge package keygen` or openssl, or \
         \"ed25519:BASE64\".",
        "",
    ),
    key(
        "trust.require_signature",
        Truth,
        Is("false"),
        "Whether only what one of these keys signed is installed.",
        "A package that was changed after it was signed is refused in any case.",
    ),
    section(
        "greengrass",
        Section,
        "A Greengrass V1 group: its connectors are services, its functions processes.",
        "",
    ),
    key(
        "greengrass.group",
        Texts,
        Words("none", "[\"/etc/sedge/group.json\"]"),
        "Definitions of the group: files, or directories of them.",
        "--group names others in their place.",
    ),
    key(
        "greengrass.lambda_dir",
        Path,
        Words("lambda in the root", "\"/greengrass/ggc/deployment/lambda\""),
        "Directory with the code of the group's functions.",
        "--lambda-dir names another in its place.",
    ),
    key(
        "greengrass.parameters",
        Texts,
        Words("none", "[\"AWS::Region=eu-west-1\"]"),
        "Values of the parameters of CloudFormation templates in the group, of AWS::Region and its \
         like, and of Resource.Attribute, each as NAME=VALUE.",
        "--parameter goes before them.",
    ),
    key(
        "greengrass.port",
        whole("port", 0, 65_535),
        Is("8000"),
        "Port on 127.0.0.1 at which functions find their core, the ggDaemonPort of V1.",
        "0 is any that is free; functions are told which.",
    ),
    key(
        "greengrass.python",
        Path,
        Words("the function's version of Python, else python3", "\"/usr/bin/python3.11\""),
        "Interpreter of the functions.",
        "",
    ),
    key(
        "greengrass.account",
        Text,
        Words("none", "\"123456789012\""),
        "Account in the ARN of the core's thing, which functions see as AWS_IOT_THING_ARN.",
        "By default the ARN is the one in the group's core definition.",
    ),
    key(
        "greengrass.core_config",
        Path,
        Words("none", "\"/greengrass/config/config.json\""),
        "config.json of a V1 core: its endpoint, certificates and thing are used where this file \
         says nothing of them.",
        "",
    ),
    key(
        "greengrass.allow_root",
        Truth,
        Is("false"),
        "Whether functions may run as root where their definition says so.",
        "The allowFunctionsToRunAsRoot of V1.",
    ),
];

/// Those of services.
const SERVICES: &[Key] = &[
    section(
        "service",
        Sections,
        "One section per model.",
        "With none, Sedge serves nothing yet and says so in its log.",
    ),
    key(
        "service.model",
        Text,
        Error("\"/var/lib/sedge/mobilenet-v2\""),
        "Model file, package directory or archive, or the address of one: https://, s3:// or the \
         ARN of a SageMaker training job.",
        "Put it where the user sedge can read it: below /var/lib/sedge, not in /home, which the \
         service does not see. Relative paths start at the directory of this file. The only key \
         that a service must have.",
    ),
    key(
        "service.name",
        Text,
        Words("made from the name of the model's file or directory", "\"mobilenet-v2\""),
        "What clients call it: letters, digits and hyphens, 2 to 63 of them.",
        "",
    ),
    key(
        "service.sha256",
        Sha256,
        Words(
            "not compared",
            "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        ),
        "Checksum that the model's file or archive must have, in hex.",
        "",
    ),
    key(
        "service.engine",
        Choice(&["auto", "native", "onnxruntime", "dlr"]),
        Is("\"auto\""),
        "What computes: native is built in, onnxruntime a library that /etc/default/sedge names; \
         packages of SageMaker Neo run in dlr, which auto takes for them.",
        "",
    ),
    key("service.device", Choice(&["cpu"]), Is("\"cpu\""), "Where it computes.", ""),
    key(
        "service.threads",
        Whole(ranges::THREADS),
        Words("the processors that the process may use", "4"),
        "Threads of one inference.",
        "",
    ),
    key(
        "service.instances",
        Whole(ranges::INSTANCES),
        Words("the processors that the process may use, at least 2", "4"),
        "Requests that run side by side.",
        "",
    ),
    key(
        "service.queue",
        Whole(ranges::QUEUE),
        Is("128"),
        "Requests that may wait for their turn.",
        "One more is answered 503 at once.",
    ),
    key(
        "service.timeout_ms",
        Whole(ranges::TIMEOUT_MS),
        Is("60000"),
        "Most milliseconds between admission of a request and its answer.",
        "",
    ),
    key(
        "service.grace_ms",
        whole("grace_ms", 0, 600_000),
        Is("5000"),
        "Milliseconds after that until a worker that still computes is ended.",
        "With isolation = \"process\"; a thread cannot be ended.",
    ),
    key(
        "service.memory_mib",
        whole("memory_mib", 16, MOST_MIB),
        Words("no limit", "512"),
        "Most memory of the service's worker, in MiB.",
        "With isolation = \"process\".",
    ),
    key(
        "service.isolation",
        Choice(&["process", "thread"]),
        Is("\"process\""),
        "What a failure of the model ends: a process of its own, or Sedge.",
        "",
    ),
    key(
        "service.start",
        Choice(&["now", "first-use"]),
        Is("\"now\""),
        "When the model is loaded: at the start, or with its first request, which waits for it.",
        "",
    ),
    key(
        "service.max_batch",
        whole("max_batch", 1, 256),
        Is("1"),
        "Requests that are computed at once, for models that take several pictures.",
        "",
    ),
    key(
        "service.batch_wait_ms",
        whole("batch_wait_ms", 0, 10_000),
        Is("0"),
        "Most milliseconds that a request waits for others to be computed with.",
        "",
    ),
    key(
        "service.update_every_s",
        whole("update_every_s", 0, 31_536_000),
        Is("0"),
        "Seconds between two looks for a new version at the model's address.",
        "0: only when it is deployed.",
    ),
    key(
        "service.labels",
        Path,
        Words("the model's own", "\"/var/lib/sedge/labels.txt\""),
        "Labels, one per line, for a model that has none.",
        "",
    ),
    key(
        "service.label_offset",
        Integer,
        Words("what the model says, else 0", "1"),
        "Index of the output that the first label names.",
        "",
    ),
    key(
        "service.preset",
        Choice(&["greengrass-image-classification", "greengrass-object-detection"]),
        Words("none", "\"greengrass-object-detection\""),
        "Who prepared the pictures, for models whose files and model.toml do not say how: the \
         connectors of Greengrass V1.",
        "[service.input] goes before all of them.",
    ),
    key(
        "service.input",
        Settings,
        Words("nothing is overridden", "{ mean = [127.5], std = [127.5] }"),
        "Overrides of the model's own settings: how the picture is prepared.",
        "`sedge model inspect MODEL` prints the keys and who set them; /usr/share/doc/sedge says \
         what they mean.",
    ),
    key(
        "service.decoder",
        Settings,
        Words("nothing is overridden", "{ score_threshold = 0.5 }"),
        "Overrides of the model's own settings: what the outputs mean.",
        "",
    ),
    key(
        "service.feedback",
        Texts,
        Words("none", "[\"unsure\"]"),
        "Names of the [[feedback]] sections that take samples of its pictures.",
        "",
    ),
    section(
        "service.rollback",
        Section,
        "When an update is undone by itself: without this section, never.",
        "",
    ),
    key(
        "service.rollback.window_s",
        whole("window_s", 1, 604_800),
        Is("600"),
        "Seconds after an update in which it is watched.",
        "",
    ),
    key(
        "service.rollback.max_error_rate",
        Number(0.0, 1.0),
        Is("0.1"),
        "Fraction of requests that may fail meanwhile.",
        "",
    ),
    key(
        "service.rollback.max_latency_ratio",
        Number(1.0, 1000.0),
        Is("2.0"),
        "How many times as long as before a request may take meanwhile, at the median.",
        "",
    ),
];
