//! FakeTeamUp.
