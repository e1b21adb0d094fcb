//! Images built from files of this machine.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use testcontainers::{
    GenericBuildableImage, GenericImage, TestcontainersError, core::BuildImageOptions,
    runners::AsyncBuilder,
};
use tokio::task::spawn_blocking;

use super::{
    LABEL,
    libraries::{self, FOLDER, Part},
};

/// Where the program lies inside.
pub(super) const PROGRAM: &str = "/program";

/// What an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// The program and its libraries.
    All,
    /// The libraries only; whoever starts a container puts the program into it.
    Libraries,
}

/// The image for this program, built unless there is one already that holds the very same.
pub(super) async fn ready(
    name: &str,
    program: &Path,
    contents: Contents,
) -> Result<GenericImage, TestcontainersError> {
    let program = program.to_owned();
    let parts = spawn_blocking(move || parts(program, contents));
    let (parts, hash) = parts.await.map_err(TestcontainersError::other)??;
    let mut image = GenericBuildableImage::new(name, format!("{hash:016x}"))
        .with_dockerfile_string(dockerfile(&parts));
    for part in parts {
        image = image.with_file(part.source, context(&part.target));
    }
    image.build_image_with(BuildImageOptions::new().with_skip_if_exists(true)).await
}

/// What goes into the image, and a hash of it.
fn parts(program: PathBuf, contents: Contents) -> io::Result<(Vec<Part>, u64)> {
    let mut parts = libraries::of(&program)?;
    if contents == Contents::All {
        parts.push(Part { source: program, target: PROGRAM.to_owned() });
    }
    let mut hasher = DefaultHasher::new();
    dockerfile(&parts).hash(&mut hasher);
    for part in &mut parts {
        // Not a symbolic link, which would point to nothing in the image.
        part.source = part.source.canonicalize()?;
        (&part.target, fs::read(&part.source)?).hash(&mut hasher);
    }
    Ok((parts, hasher.finish()))
}

/// Where the file for `target` lies in the build's context.
fn context(target: &str) -> String {
    format!("files{target}")
}

fn dockerfile(parts: &[Part]) -> String {
    // Copying nothing is an error; a program may need no library.
    let copy = if parts.is_empty() { "" } else { "COPY files/ /\n" };
    format!(
        "FROM scratch\nLABEL {LABEL}=image\n{copy}WORKDIR /tmp\nENV LD_LIBRARY_PATH={FOLDER}\n\
         ENTRYPOINT [\"{PROGRAM}\"]\n"
    )
}
