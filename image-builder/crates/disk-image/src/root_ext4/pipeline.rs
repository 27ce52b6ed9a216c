//! The steps from an empty file to a finished file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::repair::{Repairs, attribute_commands};
use super::size::{BLOCK_BYTES, Demand, GROUP_BLOCKS, RESERVED_INODES};
use super::tools::Tool;
use super::{Ext4Error, RootExt4, archive};
use crate::Region;

/// Added to ext2. `extents` and `metadata_csum` need conversions of their own.
const FEATURES: &str = "filetype,dir_index,extents,sparse_super,huge_file,dir_nlink,extra_isize,flex_bg";
/// 1980-01-01: earlier times confuse programs that see a clock not set.
const EARLIEST_TIME: i64 = 315_532_800;

/// How the names of the scratch directories begin; what a killed program leaves is known by it.
pub const SCRATCH_PREFIX: &str = "root-ext4-";

/// Makes the file system in a scratch file and copies it into its partition; answers the bytes that it occupies.
pub(super) fn write(
    root: &RootExt4<'_>,
    demand: &Demand,
    blocks: u64,
    region: &mut Region<'_>,
    work: &Path,
) -> Result<u64, Ext4Error> {
    // What cannot be represented is said before any work is done.
    let repairs = Repairs::of(root.tree)?;
    let scratch = tempfile::Builder::new()
        .prefix(SCRATCH_PREFIX)
        .tempdir_in(work)
        .map_err(scratch_error("make a scratch directory", work))?;
    let image = scratch.path().join("image");
    let time = demand.newest.max(EARLIEST_TIME) as u64;
    let pipeline = Pipeline { root, demand, time, image: &image, scratch: &scratch };
    pipeline.create(blocks)?;
    pipeline.populate()?;
    pipeline.convert(blocks)?;
    pipeline.repair(&repairs)?;
    pipeline.verify()?;
    let file = File::open(&image).map_err(scratch_error("open the file system", &image))?;
    region.copy_sparse_from(&file).map_err(Ext4Error::CopyImage)
}

struct Pipeline<'a> {
    root: &'a RootExt4<'a>,
    demand: &'a Demand,
    time: u64,
    image: &'a Path,
    scratch: &'a TempDir,
}

impl Pipeline<'_> {
    fn tool(&self, program: &'static str, step: &'static str) -> Tool {
        Tool { step, program, time: self.time }
    }

    /// An empty ext2 that `genext2fs` accepts: small inodes and no features.
    fn create(&self, blocks: u64) -> Result<(), Ext4Error> {
        let inodes = self.demand.plan(blocks).inodes.to_string();
        let group = GROUP_BLOCKS.to_string();
        let block = BLOCK_BYTES.to_string();
        let uuid = self.root.uuid.to_string();
        let extended = format!("lazy_itable_init=0,root_owner=0:0,nodiscard,hash_seed={}", self.root.hash_seed);
        let arguments = [
            "-q",
            "-F",
            "-t",
            "ext2",
            "-O",
            "none,large_file",
            "-I",
            "128",
            "-m",
            "0",
            "-b",
            &block,
            "-g",
            &group,
            "-N",
            &inodes,
            "-U",
            &uuid,
            "-E",
            &extended,
        ];
        let tool = self.tool("mke2fs", "make an empty root file system");
        let file = File::create(self.image).map_err(scratch_error("create the file system", self.image))?;
        file.set_len(blocks * BLOCK_BYTES).map_err(scratch_error("set the size of the file system", self.image))?;
        tool.run(&arguments, self.image).map(drop)
    }

    fn populate(&self) -> Result<(), Ext4Error> {
        let tool = self.tool("genext2fs", "fill the root file system");
        let block = BLOCK_BYTES.to_string();
        let image = self.image.as_os_str();
        let options = ["-B", &block, "-a", "-", "-x"];
        let arguments = options.iter().map(AsRef::as_ref).chain([image]);
        let mut failure = None;
        let ended = tool
            .command(arguments, self.image)
            .run_feeding(|output| archive::write(self.root.tree, self.root.store, output, &mut failure));
        if let Some(failure) = failure {
            return Err(failure);
        }
        let output = ended.map_err(|error| tool.failed(error))?;
        // It ends with status 0 even when it has left files out; then it says so after its own name.
        let complained = output.stderr_text().contains("genext2fs: ");
        if !output.success() || complained {
            return Err(tool.complaint(&output.stderr));
        }
        // A clean file system before the conversions: what they report afterwards is theirs.
        self.tool("e2fsck", "check the filled root file system").check(&["-f", "-n"], self.image)
    }

    fn convert(&self, blocks: u64) -> Result<(), Ext4Error> {
        let tune = |step, arguments: &[&str]| self.tool("tune2fs", step).run(arguments, self.image).map(drop);
        tune("enlarge the inodes of the root file system", &["-I", "256"])?;
        tune("turn the root file system into ext4", &["-O", FEATURES, "-E", "hash_alg=half_md4"])?;
        let journal_mib = (self.demand.plan(blocks).journal_blocks * BLOCK_BYTES) >> 20;
        let journal = format!("size={journal_mib}");
        let settings = ["-J", &journal, "-e", "remount-ro", "-c", "0", "-i", "0", "-L", &self.root.label];
        tune("add a journal to the root file system", &settings)?;
        self.tool("e2fsck", "convert the files of the root file system")
            .check(&["-f", "-y", "-D", "-E", "bmap2extent"], self.image)?;
        tune("add checksums to the root file system", &["-O", "metadata_csum"])
    }

    fn repair(&self, repairs: &Repairs) -> Result<(), Ext4Error> {
        let values = self.scratch.path().join("attributes");
        fs::create_dir(&values).map_err(scratch_error("make a directory", &values))?;
        for (number, attribute) in repairs.attributes.iter().enumerate() {
            let path = values.join(number.to_string());
            fs::write(&path, &attribute.value).map_err(scratch_error("write a file", &path))?;
        }
        // Without the feature debugfs would drop attributes and not say so.
        let mut commands = b"feature ext_attr\n".to_vec();
        commands.extend_from_slice(&repairs.commands);
        // The programs' working directory is the scratch directory, whose own name may be anything.
        commands.extend_from_slice(attribute_commands(&repairs.attributes, "attributes").as_bytes());
        self.debugfs("complete the root file system", &commands, &["-w"])?;
        self.verify_attributes(repairs)
    }

    /// Runs commands; answers what they print.
    fn debugfs(&self, step: &'static str, commands: &[u8], options: &[&str]) -> Result<String, Ext4Error> {
        let script = self.scratch.path().join("commands");
        fs::write(&script, commands).map_err(scratch_error("write a file", &script))?;
        let tool = self.tool("debugfs", step);
        let arguments = [options, &["-f", "commands"]].concat();
        let output = tool
            .command(arguments, self.image)
            .current_dir(self.scratch.path())
            .run()
            .map_err(|error| tool.failed(error))?;
        // It ends with status 0 whatever its commands do; besides them it only gives its version.
        let said = output.stderr_text();
        if said.lines().any(|line| !line.trim().is_empty() && !line.starts_with("debugfs 1.")) {
            return Err(tool.complaint(&output.stderr));
        }
        Ok(output.stdout_text())
    }

    fn verify_attributes(&self, repairs: &Repairs) -> Result<(), Ext4Error> {
        const STEP: &str = "read the extended attributes of the root file system back";
        if repairs.attributes.is_empty() {
            return Ok(());
        }
        let commands: String =
            repairs.attributes.iter().map(|a| format!("ea_get -x {} {}\n", a.path, a.name)).collect();
        let printed = self.debugfs(STEP, commands.as_bytes(), &[])?;
        // Each command is echoed, and followed by the value where there is one.
        let found = printed.lines().filter(|line| line.contains(" = ")).count();
        if found < repairs.attributes.len() {
            return Err(self.tool("debugfs", STEP).complaint(printed.as_bytes()));
        }
        Ok(())
    }

    /// The judge's word, and a count that no judge can know.
    fn verify(&self) -> Result<(), Ext4Error> {
        self.tool("e2fsck", "check the finished root file system").check(&["-f", "-n"], self.image)?;
        let found = used_inodes(self.image).map_err(scratch_error("read the finished file system", self.image))?;
        let expected = RESERVED_INODES + self.demand.nodes;
        if found == expected { Ok(()) } else { Err(Ext4Error::LostFiles { expected, found }) }
    }
}

/// Inodes in use, by the superblock: all of them (at byte 0) less the free ones (at byte 16).
fn used_inodes(image: &Path) -> io::Result<u64> {
    const SUPERBLOCK: u64 = 1024;
    let file = File::open(image)?;
    let field = |at: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, SUPERBLOCK + at)?;
        Ok::<_, io::Error>(u64::from(u32::from_le_bytes(bytes)))
    };
    Ok(field(0)?.saturating_sub(field(16)?))
}

fn scratch_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Ext4Error {
    let path = path.to_owned();
    move |source| Ext4Error::Scratch { action, path, source }
}
