//! Where an account is stored, and the credential that it gives.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use etcetera::BaseStrategy;
use sqlx::postgres::PgPoolOptions;
use tower_teamup_auth::m2m::{M2mSource, TokenFile};
use tower_teamup_auth::store::{FileStore, KeyringStore, PostgresStore, RedisStore};
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{Credentials, CredentialsBuilder};

use crate::args::{Account, Mode, Scheme};
use crate::client;

/// The application's name wherever accounts of several programs lie together.
const APPLICATION: &str = "teamup-auth";

/// A process of this command makes few queries, one after the other.
const POSTGRES_CONNECTIONS: u32 = 2;

/// Where the platform keeps the files of this program.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) config: PathBuf,
    /// Tokens: what a program changes by itself.
    pub(crate) state: PathBuf,
}

impl Folders {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let platform = etcetera::choose_base_strategy()
            .context("the platform names no folder for this user's files")?;
        let state = platform.state_dir().unwrap_or_else(|| platform.data_dir());
        Ok(Folders {
            config: platform.config_dir().join(APPLICATION),
            state: state.join(APPLICATION),
        })
    }
}

/// The files of one account.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    name: String,
    folders: Folders,
}

impl Profile {
    /// # Errors
    ///
    /// When the name could be anything else than the name of a file.
    pub(crate) fn new(name: &str, folders: Folders) -> anyhow::Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty()
            || name.len() > 100
            || name.starts_with('.')
            || !name.chars().all(is_plain)
        {
            bail!(
                "a profile's name has 1 to 100 letters, digits, `.`, `_` and `-`, and begins with no \
                 `.`"
            );
        }
        Ok(Profile { name: name.to_owned(), folders })
    }

    fn of(account: &Account) -> anyhow::Result<Self> {
        Profile::new(&account.profile, Folders::find()?)
    }

    /// Flags that belong to the account, as its login left them.
    pub(crate) fn settings_path(&self) -> PathBuf {
        self.folders.config.join("profiles").join(format!("{}.toml", self.name))
    }

    fn tokens_path(&self) -> PathBuf {
        self.folders.state.join(format!("{}.json", self.name))
    }

    fn m2m_path(&self) -> PathBuf {
        self.folders.state.join(format!("{}.m2m", self.name))
    }
}

/// Where the tokens of an account are kept.
#[derive(Debug)]
enum Place<'a> {
    File,
    Keyring,
    Redis(&'a str),
    Postgres(&'a str),
}

impl<'a> Place<'a> {
    fn of(account: &'a Account) -> anyhow::Result<Self> {
        Ok(match account.store.as_deref() {
            None if account.keyring => Place::Keyring,
            None => Place::File,
            Some(url) if url.starts_with("redis://") || url.starts_with("rediss://") => {
                Place::Redis(url)
            }
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Place::Postgres(url)
            }
            // The URL may hold a password, so it is not repeated.
            Some(_) => bail!(
                "--store takes a URL that begins with redis://, rediss:// or postgres://; leave it out \
                 to keep the tokens in a file"
            ),
        })
    }

    const fn name(&self) -> &'static str {
        match self {
            Place::File => "file",
            Place::Keyring => "file, sealed with a key in the keyring",
            Place::Redis(_) => "redis",
            Place::Postgres(_) => "postgres",
        }
    }
}

/// The credential of the account: that of its M2M token if it has one, else that of its store.
pub(crate) async fn open(account: &Account) -> anyhow::Result<Credentials> {
    let profile = Profile::of(account)?;
    if profile.m2m_path().exists() {
        let source = TokenFile::new(profile.m2m_path());
        let token = source.token().await.map_err(|error| anyhow::anyhow!(error))?;
        // A later login replaces the file; it is read again when the API refuses this token.
        let credentials = settings(Credentials::m2m_from(source), account).build().await?;
        credentials.set_m2m_token(token)?;
        return Ok(credentials);
    }
    open_store(account).await
}

/// The same for a login: an M2M token that was there before does not count.
pub(crate) async fn open_store(account: &Account) -> anyhow::Result<Credentials> {
    let profile = Profile::of(account)?;
    let builder = settings(Credentials::builder(account.mode.into()), account);
    let builder = client::refresh_client(builder, account)?;
    let builder = match Place::of(account)? {
        Place::File => {
            private_folder(&profile.folders.state)?;
            builder.store(FileStore::new(profile.tokens_path()))
        }
        Place::Keyring => {
            private_folder(&profile.folders.state)?;
            let path = profile.tokens_path().with_extension("sealed");
            builder.store(KeyringStore::open(path, APPLICATION, &profile.name).await?)
        }
        Place::Redis(url) => {
            let key = format!("{APPLICATION}:{}", profile.name);
            builder.store(RedisStore::connect(url, key).await?)
        }
        Place::Postgres(url) => {
            let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS);
            let pool = pool.connect(url).await.context("PostgreSQL can't be reached")?;
            let key = format!("{APPLICATION}:{}", profile.name);
            let store = PostgresStore::builder(pool).key(key).build()?;
            store.migrate().await.context("the table of the tokens can't be made")?;
            builder.store(store)
        }
    };
    Ok(builder.build().await?)
}

fn settings(builder: CredentialsBuilder, account: &Account) -> CredentialsBuilder {
    let builder = builder
        .base_url(&account.base_url)
        .scheme(account.scheme.into())
        .wait_timeout(account.wait);
    match account.provider_id {
        Some(id) => builder.provider_id(id),
        None => builder,
    }
}

/// What a person should know of the place.
pub(crate) fn place(account: &Account) -> anyhow::Result<&'static str> {
    if is_m2m(account)? {
        return Ok("file of an M2M token");
    }
    Ok(Place::of(account)?.name())
}

pub(crate) fn is_m2m(account: &Account) -> anyhow::Result<bool> {
    Ok(Profile::of(account)?.m2m_path().exists())
}

/// Keeps an M2M token in a file of its own: it can't be refreshed, so it is no record of a store.
pub(crate) fn save_m2m(account: &Account, token: &AccessToken) -> anyhow::Result<()> {
    if !matches!(Place::of(account)?, Place::File) {
        bail!("an M2M token is kept in a file; leave --store and --keyring out");
    }
    let profile = Profile::of(account)?;
    private_folder(&profile.folders.state)?;
    write(&profile.m2m_path(), token.expose())
}

/// Returns `false` if there was none.
pub(crate) fn forget_m2m(account: &Account) -> anyhow::Result<bool> {
    match fs::remove_file(Profile::of(account)?.m2m_path()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("the file of the M2M token can't be removed"),
    }
}

/// Notes the account's flags, so that later commands need only its name. `more` are flags of one command.
pub(crate) fn save_settings(
    account: &Account,
    more: impl IntoIterator<Item = (&'static str, toml::Table)>,
) -> anyhow::Result<()> {
    let mut table = toml::Table::new();
    table.insert("base-url".to_owned(), account.base_url.clone().into());
    let mode = match account.mode {
        Mode::Customer => "customer",
        Mode::Provider => "provider",
    };
    table.insert("mode".to_owned(), mode.into());
    let scheme = match account.scheme {
        Scheme::Bearer => "bearer",
        Scheme::Jwt => "jwt",
        Scheme::Token => "token",
    };
    table.insert("scheme".to_owned(), scheme.into());
    if let Some(id) = account.provider_id {
        let id = i64::try_from(id).context("the provider id is too large")?;
        table.insert("provider-id".to_owned(), id.into());
    }
    match &account.store {
        Some(url) => drop(table.insert("store".to_owned(), url.clone().into())),
        None => drop(table.insert("keyring".to_owned(), account.keyring.into())),
    }
    if let Some(path) = &account.ca_file {
        // A later command may begin in another folder.
        let path = std::path::absolute(path).context("the path of --ca-file")?;
        let path = path.to_str().context("the path of --ca-file is no text")?;
        table.insert("ca-file".to_owned(), path.into());
    }
    for (name, flags) in more {
        table.insert(name.to_owned(), flags.into());
    }
    let path = Profile::of(account)?.settings_path();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} can't be made", folder.display()))?;
    }
    write(&path, &toml::to_string(&table)?)
}

/// Replaces the file as a whole. On Unix this user alone can read it.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

/// Makes the folder, for this user alone.
fn private_folder(folder: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("{} can't be made", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        let folders = Folders { config: "/c".into(), state: "/s".into() };
        for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\0", "é", &"x".repeat(101)]
        {
            assert!(Profile::new(name, folders.clone()).is_err(), "{name:?}");
        }
        let profile = Profile::new("studio-1.test_2", folders).unwrap();
        assert_eq!(profile.tokens_path(), Path::new("/s/studio-1.test_2.json"));
        assert_eq!(profile.settings_path(), Path::new("/c/profiles/studio-1.test_2.toml"));
    }
}
