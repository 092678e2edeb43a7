"""Real browsers that tests drive: Chromium by the DevTools protocol, Firefox by WebDriver BiDi."""
