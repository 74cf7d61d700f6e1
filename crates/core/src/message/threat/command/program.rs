//! Programs: their names, and whether what follows one is what it would be given.

use std::sync::LazyLock;

use super::super::text::{
    Words, byte, has, has_any, is_space, is_word, needles, skip_space, window, words, words_up_to,
};

/// Programs an intruder runs; also words of English, where `;` or `|` in front and their arguments decide.
pub(in super::super) static PROGRAMS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "ls cat id whoami uname pwd ifconfig ipconfig netstat wget curl nc ncat netcat bash sh zsh \
        ksh csh dash python python2 python3 perl php ruby node lua ping ping6 nslookup dig host \
        chmod chown rm cp mv dir type net powershell cmd tasklist systeminfo reg base64 tftp ftp ps \
        env printenv kill sudo su echo sleep head tail more less tac nl od xxd strings sort find \
        grep awk sed telnet ssh scp w who last hostname touch mkdir exec eval set export timeout ver \
        vol gcc make tar crontab mail sendmail xterm phpinfo route arp lsof mount df du free top \
        uptime date reboot shutdown halt busybox socat openssl printf rev dd tee xargs cut wc time \
        nohup source passwd adduser useradd getent groups traceroute net1 certutil bitsadmin wmic \
        rundll32 mshta cscript regsvr32 lwp-download fetch apt apt-get yum help copy del \
        ipconfig.exe aux cd nmap lynx test /bin/ \
        ansible ansible-pull ansible-playbook aria2c arping aspell axel bridge bunzip2 bzcat bzip2 c89 c99 cobc column \
        comm cpan cpio cpulimit crash csplit csvtool dmesg dmsetup docker dosbox dpkg dvips ed emacs expand expect \
        ffmpeg fish flock fold gawk gdb gem genisoimage ghc ghci ginsh git gtester gunzip gzip hexdump hping3 iconv \
        iftop invoke-expression invoke-restmethod invoke-webrequest ionice irb irm iwr java javac jjs jq jrunscript \
        knife latex lftp logsave ltrace lua5.1 mawk mosquitto msgattrib msgcat msgconv msgfilter msgmerge mtr mysql \
        mysqldump nano nasm nawk nroff nsenter openvt opkg pandoc pdb pdflatex pico pidstat pip pip3 pkexec pkg psftp \
        psql puppet pwsh rake rbash readelf restic rlogin rlwrap rpm rpmquery rsync run-mailcap run-parts rvim sash \
        scanmem screen script scrot sdiff setarch sftp shuf smbclient sqlite3 ss ssh-copy-id ssh-keygen ssh-keyscan \
        start-bitstransfer start-process start-stop-daemon stdbuf strace svn sysctl systemctl tcpdump tcsh tmux \
        unexpand uniq unshare unsquashfs unxz unzip update-alternatives uudecode uuencode valgrind vi vigr vim \
        vimdiff vipw virsh xelatex xmodmap xmore xz xzcat zcat zsoelim zypper findstr schtasks vssadmin bcdedit nltest \
        dsquery icacls takeown robocopy xcopy forfiles installutil msbuild msiexec get-content get-childitem \
        get-process",
    )
});

/// Of those, the ones that prose puts after `;`, `&` or a line break too.
static ORDINARY: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "more less find sort who last host type time date test make set free top head tail mail env \
        cut kill touch net source export help copy w fetch route cat node echo sleep strings mount \
        exec eval groups less shutdown reboot del cd python ruby perl php timeout printf ping id rev \
        split dash bash apt-get apt sudo su rm cp mv ls grep sh passwd ps dir lua sed awk ssh ftp df \
        du tar wget yum bridge column comm crash docker ed emacs expand expect fish flock fold gem git java javac jq \
        knife latex mosquitto mysql nano pico pip pip3 pkg puppet rake rpm rsync screen script scrot ss svn tmux vi \
        vim xz zip unzip gzip dpkg gdb psql sqlite3 systemctl ffmpeg pandoc uniq",
    )
});

/// A program's name at an offset.
pub(super) struct Program<'t> {
    pub(super) name: &'t [u8],
    pub(super) path: bool,
    pub(super) end: usize,
}

impl<'t> Program<'t> {
    pub(super) fn read(low: &'t [u8], at: usize) -> Option<Self> {
        let tail = window(low, at, 96);
        let len = tail.iter().take_while(|&&b| is_word(b) || matches!(b, b'/' | b'-' | b'.' | b'\\' | b':')).count();
        let word = tail.get(..len)?;
        let path = word.iter().any(|b| matches!(b, b'/' | b'\\'));
        let name = word.rsplit(|b| matches!(b, b'/' | b'\\')).next()?;
        let name = name.strip_suffix(b".exe").unwrap_or(name);
        let in_bin = path && has_any(word, &["bin/", "system32\\", "windows\\"]);
        (PROGRAMS.has(name) || in_bin && !name.is_empty()).then_some(Self { name, path: in_bin, end: at + len })
    }

    pub(super) fn ordinary(&self) -> bool {
        !self.path && ORDINARY.has(self.name)
    }

    pub(super) fn tail<'l>(&self, low: &'l [u8]) -> &'l [u8] {
        window(low, self.end, 96)
    }

    /// What follows the name can follow a program's name.
    pub(super) fn ends(&self, low: &[u8]) -> bool {
        let b = byte(low, self.end);
        b == 0
            || is_space(b)
            || matches!(
                b,
                b';' | b'|' | b'&' | b'>' | b'<' | b'`' | b')' | b'\'' | b'"' | b'#' | b'$' | b'}' | b'%' | b'+'
            )
    }

    /// An option, a path, an address or a redirection follows.
    pub(super) fn argued(&self, low: &[u8]) -> bool {
        let at = skip_space(low, self.end);
        let tail = window(low, at, 64);
        self.path
            || matches!(
                byte(tail, 0),
                b'-' | b'/' | b'>' | b'<' | b'|' | b'&' | b'%' | b'$' | b'.' | b'*' | b'`' | b'\\' | b'#'
            )
            || byte(tail, 0).is_ascii_digit()
            || needles!("/etc http \\ 127.0 /bin c: .txt .php").occur(tail)
    }

    /// What it is asked to do is no administrator's chat.
    pub(super) fn harmful(&self, low: &[u8]) -> bool {
        let tail = self.tail(low);
        let leaks = words!("cat more less head tail tac nl grep type od strings sort base64 cp xxd rev dd comm column")
            .has(self.name)
            && needles!("/etc/passwd /etc/shadow /etc/hosts boot.ini win.ini /proc/self .ssh").occur(tail);
        let shell = words!("nc ncat netcat bash sh socat telnet").has(self.name)
            && needles!("·-e· ·-i· /dev/tcp exec: ·-c· -lvp ·-l·").occur(tail);
        let fetch = words!("wget curl lwp-download certutil bitsadmin").has(self.name)
            && needles!("|·sh |sh |bash |·bash -o·/tmp burpcollaborator").occur(tail);
        let reads =
            has_any(window(tail, 0, 48), &["/etc/passwd", "/etc/shadow", "/root/.ssh"]) && words_up_to(low, 5) < 5;
        let wipe = self.name == b"rm" && has(tail, "-rf /");
        // An option that is given a shell line.
        let given = needles!("sh,-c, ·!sh ·!/bin/sh").occur(tail);
        leaks || shell || fetch || wipe || reads || given
    }
}
