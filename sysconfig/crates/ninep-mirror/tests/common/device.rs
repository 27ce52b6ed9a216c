//! An imitation of the `vio9p` driver that enforces its rules.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ninep_mirror::transport::vio9p::Driver;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::server::Connection;
use super::share::{Sent, Share};

/// The driver, with its devices. Clones are the same driver.
#[derive(Clone, Default)]
pub(crate) struct FakeDriver(Arc<Mutex<Vec<Channel>>>);

/// What is behind one device. It is not reset by open or close.
pub(crate) struct Channel {
    path: PathBuf,
    server: Connection,
    open: bool,
    /// The mount tag, where the device offers one.
    pub(crate) tag: Option<String>,
    /// Whether what has come is handed out in another order than it came.
    pub(crate) unordered: bool,
    reads: usize,
    /// The size of a buffer for one message, of the older or the newer driver.
    buffer_bytes: usize,
    replies: VecDeque<Vec<u8>>,
    /// Reads that find nothing although a reply is on its way.
    pub(crate) delay: usize,
    waited: usize,
    /// Calls that a signal interrupts before they do anything.
    pub(crate) interruptions: usize,
    /// The buffer size that the driver pretends to have when a message is read; real ones hold a whole message.
    pub(crate) smallest_read: usize,
    /// Requests without a reply yet.
    outstanding: usize,
    pub(crate) most_outstanding: usize,
    /// Whether answers that do not fit into the buffer vanish, as on the real device.
    pub(crate) lost: HashMap<u8, usize>,
}

impl std::fmt::Debug for FakeDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeDriver")
    }
}

impl FakeDriver {
    /// Adds a device.
    pub(crate) fn add(&self, share: &Share, buffer_bytes: usize) {
        let mut channels = self.0.lock().unwrap();
        let path = PathBuf::from(format!("/dev/9p/{}", channels.len()));
        channels.push(Channel {
            path,
            server: Connection::new(share),
            open: false,
            tag: None,
            unordered: false,
            reads: 0,
            buffer_bytes,
            replies: VecDeque::new(),
            delay: 1,
            waited: 0,
            interruptions: 0,
            smallest_read: 0,
            outstanding: 0,
            most_outstanding: 0,
            lost: HashMap::new(),
        });
    }

    /// Looks at or changes a device from behind.
    pub(crate) fn channel<T>(&self, number: usize, change: impl FnOnce(&mut Channel) -> T) -> T {
        change(&mut self.0.lock().unwrap()[number])
    }
}

impl Channel {
    /// Lets a reply come that nobody asked for in this session.
    pub(crate) fn stale_reply(&mut self, reply: &[u8]) {
        self.replies.push_back(reply.to_vec());
    }

    fn interrupted(&mut self) -> io::Result<()> {
        if self.interruptions > 0 {
            self.interruptions -= 1;
            return Err(Errno::INTR.into());
        }
        Ok(())
    }

    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.interrupted()?;
        if message.len() < 7 {
            return Err(Errno::INVAL.into());
        }
        if message.len() > self.buffer_bytes {
            return Err(Errno::MSGSIZE.into());
        }
        let size = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
        assert_eq!(size as usize, message.len(), "a write is exactly one message");
        self.outstanding += 1;
        self.most_outstanding = self.most_outstanding.max(self.outstanding);
        let Sent::Messages(replies) = self.server.answer(message) else { return Err(Errno::IO.into()) };
        for reply in replies {
            // The device has no room for it, and nobody learns of that.
            if reply.len() > self.buffer_bytes {
                *self.lost.entry(message[4]).or_default() += 1;
                continue;
            }
            self.replies.push_back(reply);
        }
        self.waited = 0;
        Ok(message.len())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted()?;
        if self.waited < self.delay {
            self.waited += 1;
            return Err(Errno::AGAIN.into());
        }
        let index = if self.unordered { (self.reads * 7 + 3) % self.replies.len().max(1) } else { 0 };
        let Some(reply) = self.replies.get(index) else { return Err(Errno::AGAIN.into()) };
        if buffer.len() < reply.len().max(self.smallest_read) {
            return Err(Errno::OVERFLOW.into());
        }
        buffer[..reply.len()].copy_from_slice(reply);
        let length = reply.len();
        self.replies.remove(index);
        self.reads += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        Ok(length)
    }
}

impl Driver for FakeDriver {
    type File = FakeDevice;

    fn devices(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.lock().unwrap().iter().map(|channel| channel.path.clone()).collect())
    }

    fn open(&self, device: &Path, flags: OFlags) -> io::Result<FakeDevice> {
        let mut channels = self.0.lock().unwrap();
        let number = channels.iter().position(|channel| channel.path == device).ok_or(Errno::NXIO)?;
        if !flags.contains(OFlags::RDWR | OFlags::EXCL) {
            return Err(Errno::INVAL.into());
        }
        assert!(flags.contains(OFlags::NONBLOCK), "a read that blocks has no deadline: the device cannot be polled");
        let channel = &mut channels[number];
        if std::mem::replace(&mut channel.open, true) {
            return Err(Errno::BUSY.into());
        }
        // What an earlier opener has asked for is not this one's.
        (channel.outstanding, channel.most_outstanding) = (0, 0);
        Ok(FakeDevice { driver: self.clone(), number })
    }

    fn tag(&self, file: &FakeDevice) -> io::Result<Option<String>> {
        Ok(self.channel(file.number, |channel| channel.tag.clone()))
    }
}

/// An open device.
#[derive(Debug)]
pub(crate) struct FakeDevice {
    driver: FakeDriver,
    number: usize,
}

impl Write for FakeDevice {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.driver.channel(self.number, |channel| channel.write(message))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for FakeDevice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.driver.channel(self.number, |channel| channel.read(buffer))
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.driver.channel(self.number, |channel| channel.open = false);
    }
}
