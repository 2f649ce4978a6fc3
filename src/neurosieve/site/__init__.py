"""The site made from leaderboard folders: pages, charts, comparisons."""
