import './layout';
import './samples';
import './words';
