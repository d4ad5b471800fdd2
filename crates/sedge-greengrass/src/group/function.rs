//! Functions and how each is run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lambda::Lambda;
use super::node::Node;
use super::{Function, ResourceAccess, resource};
use crate::FunctionArn;

/// What a function gets that does not say how much, in KB: 16 MB.
const MEMORY_KB: u64 = 16_384;
const TIMEOUT_S: u64 = 3;
/// Most resources of one function.
const MOST_RESOURCES: usize = 10;
/// The largest number that Greengrass's own definitions hold.
const MOST: u64 = i32::MAX as u64;

/// How a function runs, as its definition or the default of all says it.
#[derive(Clone, Copy, Debug, Default)]
struct Execution {
    container: Option<bool>,
    run_as: Option<(u32, u32)>,
}

/// Reads a function; `default` is the definition's `DefaultConfig`. `None` also for functions of
/// the core's own, which Sedge brings along.
pub(super) fn read(
    node: &Node<'_>,
    default: Option<&Node<'_>>,
    lambdas: &[Lambda],
) -> Option<Function> {
    if !node.is_object() {
        return None;
    }
    node.knows(&["Id", "FunctionArn", "FunctionConfiguration", "Handler", "Runtime"]);
    let id = super::id(node);
    let example = "\"arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION\"";
    let arn = arn(&node.required("FunctionArn", example)?)?;
    let configuration = node.below("FunctionConfiguration");
    if !configuration.value.is_null() && !configuration.is_object() {
        return None;
    }
    configuration.knows(&[
        "EncodingType",
        "Environment",
        "ExecArgs",
        "Executable",
        "FunctionRuntimeOverride",
        "Handler",
        "MemorySize",
        "Pinned",
        "Runtime",
        "Timeout",
    ]);
    let environment = configuration.below("Environment");
    environment.knows(&["AccessSysfs", "Execution", "ResourceAccessPolicies", "Variables"]);
    let inherited = default.and_then(|node| node.get("Execution")).map(|node| execution(&node));
    let own = environment.get("Execution").map(|node| execution(&node));
    let (own, inherited) = (own.unwrap_or_default(), inherited.unwrap_or_default());
    let container = own.container.or(inherited.container).unwrap_or(true);
    let run_as = own.run_as.or(inherited.run_as);
    let (memory, access_sysfs) = walls(&configuration, container);
    let timeout = match configuration.get("Timeout") {
        Some(node) => node.whole(1, MOST),
        None => Some(TIMEOUT_S),
    };
    let binary = match configuration.get("EncodingType") {
        Some(node) => node.choice(&[("json", false), ("binary", true)]),
        None => Some(false),
    };
    let pinned = configuration.get("Pinned").map_or(Some(false), |node| node.truth());
    let exec_args = configuration.get("ExecArgs").and_then(|node| node.loose_text());
    let variables = environment.get("Variables").map(|node| variables(&node));
    let resources = environment.get("ResourceAccessPolicies").map(|node| accesses(&node));
    let (handler, runtime) = code(node, &configuration, &arn, lambdas);
    Some(Function {
        id: id?,
        arn,
        handler,
        runtime: runtime?,
        pinned: pinned?,
        memory_bytes: memory?.map(|kb| kb.saturating_mul(1024)),
        timeout: Duration::from_secs(timeout?),
        binary: binary?,
        exec_args,
        variables: variables.unwrap_or_default(),
        container,
        run_as,
        access_sysfs: access_sysfs?,
        resources: resources.unwrap_or_default(),
    })
}

fn arn(node: &Node<'_>) -> Option<FunctionArn> {
    let arn: FunctionArn = match node.text()?.parse() {
        Ok(arn) => arn,
        Err(error) => {
            let error: crate::ArnError = error;
            node.error(error.expected(), "copy it from `aws lambda list-aliases` or the console");
            return None;
        }
    };
    if arn.is_system() {
        node.warn("it is a function of the core's own", "take it out; Sedge brings what it does");
        return None;
    }
    if arn.account == "aws" {
        node.warn(
            "it is the function of a connector",
            "give the connector definition, too: `aws greengrass \
             get-connector-definition-version` prints it",
        );
        return None;
    }
    match arn.qualifier.as_deref() {
        Some("$LATEST") => {
            node.error(
                "$LATEST is no version that can be deployed",
                "write the number of a version, or an alias",
            );
            return None;
        }
        None => node.warn(
            "it should end in a version or an alias",
            "append :1 or the like; the code is looked up by the name alone",
        ),
        Some(_) => {}
    }
    Some(arn)
}

fn execution(node: &Node<'_>) -> Execution {
    if !node.is_object() {
        return Execution::default();
    }
    node.knows(&["IsolationMode", "RunAs"]);
    let modes = [("GreengrassContainer", true), ("NoContainer", false)];
    let container = node.get("IsolationMode").and_then(|node| node.choice(&modes));
    let run_as = node.get("RunAs").filter(Node::is_object).and_then(|node| {
        node.knows(&["Uid", "Gid"]);
        let part = |key: &str| {
            let node = node.required(key, "1000")?;
            node.whole(0, u64::from(u32::MAX)).and_then(|id| u32::try_from(id).ok())
        };
        let (uid, gid) = (part("Uid"), part("Gid"));
        if uid == Some(0) {
            node.below("Uid").warn(
                "Greengrass runs functions as root only with runtime.allowFunctionsToRunAsRoot",
                "name a user of its own; or set allow_root = true below [greengrass] of the \
                 configuration, and run Sedge as root: else this function alone is not started",
            );
        }
        Some((uid?, gid?))
    });
    Execution { container, run_as }
}

/// Memory in KB, `None` within where there is no limit, and whether the function sees `/sys`.
fn walls(configuration: &Node<'_>, container: bool) -> (Option<Option<u64>>, Option<bool>) {
    let sysfs = configuration.below("Environment").get("AccessSysfs");
    let access = sysfs.as_ref().map_or(Some(false), Node::truth);
    let memory = configuration.get("MemorySize");
    if container {
        if memory.is_none() {
            configuration.below("MemorySize").warn(
                format!("a function in a container needs a size, and {MEMORY_KB} KB is taken"),
                "add \"MemorySize\": 120000 or what it needs, in KB",
            );
        }
        let memory = memory.map_or(Some(MEMORY_KB), |node| node.whole(1, MOST));
        return (memory.map(Some), access);
    }
    if let Some(node) = memory {
        node.error(
            "a function with NoContainer has no memory limit",
            "take MemorySize out, or write GreengrassContainer",
        );
    }
    if let Some(node) = sysfs.filter(|_| access == Some(true)) {
        node.error(
            "a function with NoContainer sees /sys anyway",
            "take AccessSysfs out, or write GreengrassContainer",
        );
    }
    (Some(None), access)
}

fn variables(node: &Node<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, node) in node.entries() {
        if name.is_empty() || name.contains(['=', '\0']) {
            node.error("it is no name of a variable", "use letters, digits and underscores");
        }
        let Some(text) = node.loose_text() else { continue };
        if text.contains('\0') {
            node.error("a variable cannot hold a zero byte", "take it out");
            continue;
        }
        variables.insert(name.to_owned(), text);
    }
    variables
}

fn accesses(node: &Node<'_>) -> Vec<ResourceAccess> {
    let items = node.items();
    if items.len() > MOST_RESOURCES {
        node.error(
            format!("a function uses at most {MOST_RESOURCES} resources"),
            "put models that belong together into one archive",
        );
    }
    let mut seen = BTreeSet::new();
    let mut accesses = Vec::new();
    for item in items.iter().filter(|item| item.is_object()) {
        item.knows(&["ResourceId", "Permission"]);
        let permission = item.get("Permission").map(|node| resource::permission(&node));
        let id = item.required("ResourceId", "\"my-model\"");
        let Some(resource) = id.and_then(|node| node.loose_text()) else { continue };
        if !seen.insert(resource.clone()) {
            let rule = "the function has this resource already";
            item.below("ResourceId").error(rule, "take one out");
            continue;
        }
        match permission {
            Some(None) => {}
            Some(permission) => accesses.push(ResourceAccess { resource, permission }),
            None => accesses.push(ResourceAccess { resource, permission: None }),
        }
    }
    accesses
}

/// Handler and runtime, which a group's definition leaves to AWS Lambda: a template, the output of
/// `aws lambda get-function-configuration`, or the entry itself says them. No runtime where it is
/// one that Sedge does not run.
fn code(
    node: &Node<'_>,
    configuration: &Node<'_>,
    arn: &FunctionArn,
    lambdas: &[Lambda],
) -> (Option<String>, Option<Option<String>>) {
    let known = Lambda::of(arn, lambdas);
    let said = |key: &str| node.get(key).or_else(|| configuration.get(key));
    let text = |node: Option<Node<'_>>| node.and_then(|node| node.loose_text());
    // Written in the definition of functions in C and, by some, for the handler.
    let executable = configuration.get("Executable");
    let handler = text(said("Handler")).or_else(|| known.and_then(|known| known.handler.clone()));
    let handler = handler.or_else(|| text(executable.clone()));
    let place = configuration.get("FunctionRuntimeOverride").or_else(|| said("Runtime"));
    let runtime = match &place {
        Some(node) => node.loose_text(),
        None => known.and_then(|known| known.runtime.clone()),
    };
    let at = place.unwrap_or_else(|| node.below("FunctionArn"));
    match runtime.as_deref() {
        Some(name) if !name.starts_with("python") => {
            at.error(
                format!("Sedge runs functions in Python, and its runtime is {name}"),
                "write it in Python 3, or let it call Sedge over HTTP",
            );
            return (handler, None);
        }
        Some(name) if name.starts_with("python2") => at.warn(
            "it was written for Python 2, and is run with Python 3",
            "try it: `python3 -m compileall` finds what does not parse",
        ),
        None if handler.as_deref().is_some_and(|handler| !names_function(handler)) => {
            if let Some(executable) = executable {
                executable.error(
                    "it names an executable, and Sedge runs functions in Python",
                    "write it in Python 3, or start it beside Sedge and let it call Sedge over HTTP",
                );
                return (handler, None);
            }
        }
        _ => {}
    }
    (handler, Some(runtime))
}

/// Whether it is of the form `module.function`, which no path of a program is.
fn names_function(handler: &str) -> bool {
    let parts = handler.rsplit_once('.');
    parts.is_some_and(|(module, name)| !module.is_empty() && !name.contains('/'))
}

/// What there may be only one of.
pub(super) fn check_all(functions: &[(Node<'_>, Function)]) {
    let mut arns = BTreeSet::new();
    for (node, function) in functions {
        if !arns.insert(&function.arn) {
            let rule = "the group has this function already";
            node.below("FunctionArn").error(rule, "take one out");
        }
    }
}
